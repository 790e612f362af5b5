import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dataUrl, parseDataUrl } from './data-urls.ts'

for (const [url, want] of [
  ['data:image/png;base64,iVBO', { mediaType: 'image/png', data: 'iVBO' }],
  ['DATA:Image/PNG;name=a.png;base64,iVBO', { mediaType: 'image/png', data: 'iVBO' }],
  ['data:;base64,aGk=', { mediaType: 'text/plain', data: 'aGk=' }],
  ['data:image/png,raw', undefined],
  ['https://example.com/data:image/png;base64,x', undefined],
  ['', undefined],
] as const) {
  test(`a data URL: ${url}`, () => assert.deepEqual(parseDataUrl(url), want))
}

test('what is written is read', () => {
  assert.deepEqual(parseDataUrl(dataUrl('application/pdf', 'JVBE')), { mediaType: 'application/pdf', data: 'JVBE' })
})
