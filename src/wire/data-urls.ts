/** The media type and the base64 of a data URL; undefined for anything else. */
export function parseDataUrl(url: string): { mediaType: string; data: string } | undefined {
  const head = /^data:([^,;]{0,127})(?:;[^,;]{0,127}){0,4};base64,/i.exec(url)
  if (head === null) return undefined
  return { mediaType: (head[1] === '' ? 'text/plain' : (head[1] ?? '')).toLowerCase(), data: url.slice(head[0].length) }
}

export function dataUrl(mediaType: string, data: string): string {
  return `data:${mediaType};base64,${data}`
}
