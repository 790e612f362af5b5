/** What a `<prosody>` element is told, in Azure's notation: `+20%`, `-2st`, `loud`. */
export interface Prosody {
  rate?: string
  pitch?: string
  volume?: string
}

export interface SsmlOptions {
  text: string
  /** Must match `ssmlVoice`. */
  voice: string
  prosody: Prosody
}

/** What may stand in the `name` attribute: nothing that could end it. */
export const ssmlVoice = /^[a-z0-9-]{1,100}$/i

/** One voice that says one text. The text is data: whatever it holds, it stays text. */
export function buildSsml({ text, voice, prosody }: SsmlOptions): string {
  return `<speak version='1.0' xml:lang='en-US'><voice name='${voice}'>${openTag(prosody)}${escapeXml(stripIllegal(text))}${closeTag(prosody)}</voice></speak>`
}

/** The markup around the text that is billed like text: all but `<speak>` and `<voice>`. */
export function billedMarkup(prosody: Prosody): string {
  return openTag(prosody) + closeTag(prosody)
}

function openTag(prosody: Prosody): string {
  const attributes = (['rate', 'pitch', 'volume'] as const).flatMap((name) => {
    const value = prosody[name]
    return value === undefined ? [] : [` ${name}='${value}'`]
  })
  return attributes.length === 0 ? '' : `<prosody${attributes.join('')}>`
}

function closeTag(prosody: Prosody): string {
  return openTag(prosody) === '' ? '' : '</prosody>'
}

/** 1.2 is `+20%`; a change that rounds to nothing is none. */
export function rateOfSpeed(speed: number | undefined): string | undefined {
  return speed === undefined ? undefined : signedPercent(Math.round((speed - 1) * 100))
}

/** A change in per cent; none is undefined. */
export function signedPercent(percent: number): string | undefined {
  return percent === 0 ? undefined : `${percent > 0 ? '+' : '-'}${Math.abs(percent)}%`
}

const named: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' }

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => named[character] ?? character)
}

/**
 * Without what XML 1.0 forbids even as a reference: most control characters, halves of surrogate pairs, U+FFFE and U+FFFF.
 * One of them makes a whole request malformed.
 */
export function stripIllegal(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that must not be sent.
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/gu, '')
}
