/**
 * The text of a value with sorted keys and no white space, as RFC 8785 has it: equal values have equal texts. For values that
 * JSON can carry, with well-formed strings and without keys that are whole numbers.
 */
export function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) => {
    if (typeof member !== 'object' || member === null || Array.isArray(member)) return member
    return Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}
