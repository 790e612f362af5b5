import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { countTokens, loadTokenizer } from '#wire/count-tokens.ts'
import { decodeRawText } from '#wire/openai-chunk.ts'
import { createDeliveredText } from './delivered-text.ts'

before(() => loadTokenizer())

const prose =
  "The keeper of the books wrote “twelve” and 3,400 more\nlines: don't ask why. He said:\t\tno!  Then, 日本語の文字も。 "
const texts: [name: string, text: string][] = [
  ['prose', prose.repeat(60)],
  ['code', '  if (a[1] == b) {\n    return foo_bar(x ?? 0, "y z")\n  }\n\n'.repeat(80)],
  ['no space at all', 'supercalifragilistic'.repeat(200)],
  ['no letters', '1 2  3   4 . , ; '.repeat(200)],
]

for (const [name, text] of texts) {
  for (const pieceChars of [1, 4, 37, 5_000]) {
    test(`counting ${name} again and again, in pieces of ${pieceChars}, counts every token once`, () => {
      const raw = Buffer.from(JSON.stringify(text).slice(1, -1)).toString('latin1')
      const delivered = createDeliveredText()
      let countAt = 700
      for (let at = 0; at < raw.length; at += pieceChars) {
        delivered.add(raw.slice(at, at + pieceChars))
        if (at < countAt) continue
        countAt += 700
        delivered.count()
      }
      assert.equal(delivered.count(), countTokens(decodeRawText(raw)))
      assert.equal(delivered.recount(), delivered.estimate())
    })
  }
}
