/**
 * A part of what goes when a person deletes the account. Parts run one after the other, the lower priority first; one that
 * throws stops the rest, and all of them run again at the next try: each must be safe to repeat.
 */
export interface DeletionPart {
  name: string
  priority: number
  run(user: { id: string; email: string }): Promise<void>
}
