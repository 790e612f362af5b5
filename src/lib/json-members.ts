/** Where the members of a JSON object stand in its text. Offsets are UTF-16 units. */
export interface Member {
  valueStart: number
  valueEnd: number
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d

/**
 * The top-level members of an object whose text JSON.parse has accepted. Lets a request be changed in place, so that
 * everything else reaches the provider byte for byte. Returns the name of a member that stands twice instead: two readers
 * could then disagree on what was asked.
 */
export function topLevelMembers(text: string): Map<string, Member> | { duplicate: string } {
  const members = new Map<string, Member>()
  let at = text.indexOf('{') + 1
  for (;;) {
    at = skipTo(text, at, QUOTE, CLOSE_BRACE)
    if (text.charCodeAt(at) !== QUOTE) return members
    const nameEnd = stringEnd(text, at)
    const name = JSON.parse(text.slice(at, nameEnd)) as string
    const valueStart = skipSpace(text, skipTo(text, nameEnd, COLON, COLON) + 1)
    const next = valueEnd(text, valueStart)
    if (members.has(name)) return { duplicate: name }
    members.set(name, { valueStart, valueEnd: trimEnd(text, valueStart, next) })
    at = next + (text.charCodeAt(next) === COMMA ? 1 : 0)
  }
}

/** The text with some top-level values replaced or, where the member is absent, added at the end. */
export function withMembers(text: string, members: Map<string, Member>, changes: Record<string, string>): string {
  const replaced = Object.entries(changes).flatMap(([name, value]) => {
    const member = members.get(name)
    return member === undefined ? [] : [{ ...member, value }]
  })
  replaced.sort((a, b) => a.valueStart - b.valueStart)
  let result = ''
  let from = 0
  for (const { valueStart, valueEnd, value } of replaced) {
    result += text.slice(from, valueStart) + value
    from = valueEnd
  }
  const added = Object.entries(changes).filter(([name]) => !members.has(name))
  if (added.length === 0) return result + text.slice(from)
  const end = text.lastIndexOf('}')
  const separator = members.size === 0 ? '' : ','
  const extra = added.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')
  return `${result}${text.slice(from, end)}${separator}${extra}${text.slice(end)}`
}

function skipSpace(text: string, from: number): number {
  let at = from
  while (text.charCodeAt(at) <= 0x20) at += 1
  return at
}

function skipTo(text: string, from: number, a: number, b: number): number {
  let at = from
  for (;;) {
    const code = text.charCodeAt(at)
    if (code === a || code === b || Number.isNaN(code)) return at
    at += 1
  }
}

/** The offset behind the string that starts at `from`. */
function stringEnd(text: string, from: number): number {
  let at = from
  for (;;) {
    at = text.indexOf('"', at + 1)
    let slashes = 0
    while (text.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes += 1
    if (slashes % 2 === 0) return at + 1
  }
}

/** The offset of the comma or brace that ends the value which starts at `from`. */
function valueEnd(text: string, from: number): number {
  let depth = 0
  let at = from
  for (;;) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = stringEnd(text, at)
        continue
      case OPEN_BRACE:
      case OPEN_BRACKET:
        depth += 1
        break
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        if (depth === 0) return at
        depth -= 1
        break
      case COMMA:
        if (depth === 0) return at
        break
    }
    at += 1
  }
}

function trimEnd(text: string, start: number, end: number): number {
  let at = end
  while (at > start && text.charCodeAt(at - 1) <= 0x20) at -= 1
  return at
}
