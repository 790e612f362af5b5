/** Names of columns for names of fields, as `userId` is `user_id`. */
export function snakeNames(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)]))
}
