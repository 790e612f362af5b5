import { isTable, type LockTable, type LockValue } from './lock-value.ts'

/**
 * The text that Python's `json.dumps` gives, which the digest of a lockfile is taken over: everything but printable ASCII escaped, floats
 * as Python prints them. `sorted` orders members by code point and leaves out white space; otherwise two spaces indent.
 */
export function pythonJson(value: LockValue, layout: 'sorted' | 'indented'): string {
  return encode(value, layout, '')
}

function encode(value: LockValue, layout: 'sorted' | 'indented', margin: string): string {
  if (typeof value === 'string') return pythonString(value)
  if (typeof value === 'bigint') return `${value}`
  if (typeof value === 'number') return pythonFloat(value)
  if (isTable(value)) {
    const colon = layout === 'sorted' ? ':' : ': '
    const inner = `${margin}  `
    const members = entries(value, layout).map(
      ([key, member]) => `${pythonString(key)}${colon}${encode(member, layout, inner)}`,
    )
    return enclose('{', members, '}', layout, margin)
  }
  if (Array.isArray(value)) {
    const items = value.map((item) => encode(item, layout, `${margin}  `))
    return enclose('[', items, ']', layout, margin)
  }
  return String(value)
}

function enclose(open: string, parts: string[], close: string, layout: 'sorted' | 'indented', margin: string): string {
  if (parts.length === 0 || layout === 'sorted') return `${open}${parts.join(',')}${close}`
  return `${open}\n${margin}  ${parts.join(`,\n${margin}  `)}\n${margin}${close}`
}

function entries(table: LockTable, layout: 'sorted' | 'indented'): [string, LockValue][] {
  const members = Object.entries(table)
  return layout === 'sorted' ? members.sort(([a], [b]) => compareCodePoints(a, b)) : members
}

/** JavaScript's own order compares halves of surrogate pairs, which lie below U+E000. */
function compareCodePoints(a: string, b: string): number {
  const left = [...a]
  const right = [...b]
  for (const [index, char] of left.entries()) {
    const other = right[index]
    if (other === undefined) return 1
    if (char !== other) return (char.codePointAt(0) ?? 0) - (other.codePointAt(0) ?? 0)
  }
  return left.length - right.length
}

function pythonString(text: string): string {
  return JSON.stringify(text).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Both languages print the shortest digits that read back the same; they differ in when they use an exponent and how it looks. */
export function pythonFloat(value: number): string {
  if (Object.is(value, -0)) return '-0.0'
  const [digits = '0', power = '0'] = value.toExponential().split('e')
  const exponent = Number(power)
  if (exponent < -4 || exponent >= 16) {
    return `${digits}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`
  }
  const sign = value < 0 ? '-' : ''
  const bare = digits.replace(/[-.]/g, '')
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${bare}`
  const whole = bare.slice(0, exponent + 1).padEnd(exponent + 1, '0')
  return `${sign}${whole}.${bare.slice(exponent + 1) || '0'}`
}
