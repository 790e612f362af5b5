/** One element of a document. */
export interface XmlElement {
  name: string
  attributes: Record<string, string>
  children: (XmlElement | string)[]
}

const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

/** Reads a document as strictly as a real service would, without DTDs. Throws Error with the reason for anything else. */
export function readXml(text: string): XmlElement {
  const illegal = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u.exec(text)
  if (illegal) throw new Error(`an illegal character at ${illegal.index}`)
  let at = 0
  const root = element()
  if (text.slice(at).trim() !== '') throw new Error('something follows the root element')
  return root

  function element(): XmlElement {
    const open = match(/<([A-Za-z_][\w:.-]*)/y, 'an element')
    const result: XmlElement = { name: open[1] ?? '', attributes: {}, children: [] }
    for (;;) {
      const attribute = tryMatch(/\s+([A-Za-z_][\w:.-]*)\s*=\s*(?:'([^'<]*)'|"([^"<]*)")/y)
      if (attribute === null) break
      const name = attribute[1] ?? ''
      if (name in result.attributes) throw new Error(`the attribute ${name} stands twice`)
      result.attributes[name] = decode(attribute[2] ?? attribute[3] ?? '')
    }
    tryMatch(/\s+/y)
    if (tryMatch(/\/>/y) !== null) return result
    match(/>/y, 'the end of a tag')
    for (;;) {
      const characters = tryMatch(/[^<]+/y)
      if (characters !== null) result.children.push(decode(characters[0]))
      const close = tryMatch(/<\/([A-Za-z_][\w:.-]*)\s*>/y)
      if (close !== null) {
        if (close[1] !== result.name) throw new Error(`${result.name} is closed by ${close[1]}`)
        return result
      }
      result.children.push(element())
    }
  }

  function match(pattern: RegExp, what: string): RegExpExecArray {
    const found = tryMatch(pattern)
    if (found === null) throw new Error(`no ${what} at ${at}`)
    return found
  }

  function tryMatch(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    if (found !== null) at += found[0].length
    return found
  }

  function decode(raw: string): string {
    return raw.replace(/&([^;&]*;?)/g, (whole, name: string) => {
      const character = name.endsWith(';') ? entities[name.slice(0, -1)] : undefined
      if (character === undefined) throw new Error(`${whole} is no entity`)
      return character
    })
  }
}

/** All text inside of an element. */
export function xmlText(element: XmlElement): string {
  return element.children.map((child) => (typeof child === 'string' ? child : xmlText(child))).join('')
}
