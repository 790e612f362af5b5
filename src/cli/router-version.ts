import { UsageError } from './command.ts'

/** A version as people type it. Throws UsageError. */
export function readVersion(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new UsageError('VERSION must be a number from 1')
  return Number(text)
}
