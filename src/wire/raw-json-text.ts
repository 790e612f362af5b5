/** Text as it stands in JSON, bytes as Latin-1: what `text` of FrameFacts is made of. */
export function rawJsonText(text: string): string {
  return text === '' ? '' : Buffer.from(JSON.stringify(text).slice(1, -1)).toString('latin1')
}
