/**
 * JSON with the members of every object in one order, so that equal values have equal texts. Unlike canonicalJson it takes
 * every value that JSON.parse returns. Recursive: bound the depth before.
 */
export function sortedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.keys(value)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${sortedJson(Reflect.get(value, name))}`)
  return `{${members.join(',')}}`
}
