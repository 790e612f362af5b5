/**
 * The text of a value with sorted keys and no white space, as RFC 8785 has it: equal values have equal texts. Unlike
 * canonicalJson it takes every value that JSON.parse returns, and leaves out members that are undefined. Recursive: bound
 * the depth of what others send before.
 */
export function sortedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.keys(value)
    .filter((name) => Reflect.get(value, name) !== undefined)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${sortedJson(Reflect.get(value, name))}`)
  return `{${members.join(',')}}`
}
