import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { leafHashOfBytes, merkleRoot } from '#billing/merkle.ts'
import { encodeAddCheckpoint, parseAddCheckpoint, parseCosignatures } from './add-checkpoint.ts'
import { encodeCheckpoint } from './checkpoint.ts'
import { encodeNote, encodeSignatureLine, TlogFormatError } from './note.ts'
import { foldSubtrees } from './tile-tree.ts'
import { encodeTlogProof, parseTlogProof, verifyTlogProof } from './tlog-proof.ts'
import { inclusionRanges, subtreesOf } from './tree-shape.ts'
import { signatureOf, verifierKey } from './verifier-key.ts'

const ORIGIN = 'log.example/1'
const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
const log = await verifierKey(ORIGIN, 'note', raw)
const policy = { log, witnesses: [], quorum: 0 }
const leaves = Array.from({ length: 300 }, (_, at) => Buffer.alloc(32, at & 0xff).fill(at >> 8, 0, 1))

function proofOf(index: number, size: number): string {
  const hashes = leaves.slice(0, size).map(leafHashOfBytes)
  const path = inclusionRanges(index, size).map((range) =>
    foldSubtrees(
      subtreesOf(range).map((part) =>
        merkleRoot(hashes.slice(part.index * 2 ** part.level, (part.index + 1) * 2 ** part.level)),
      ),
    ).toString('base64'),
  )
  const text = encodeCheckpoint({ origin: ORIGIN, size, root: merkleRoot(hashes).toString('base64') })
  const line = encodeSignatureLine(signatureOf(log, { signature: sign(null, Buffer.from(text), privateKey), time: 0 }))
  return encodeTlogProof({ index, path, checkpoint: encodeNote(text, [line]) })
}

test('a proof verifies for its own leaf and for no other, and reads back as it was written', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 300 }), fc.nat(), async (size, a) => {
      const index = a % size
      const text = proofOf(index, size)
      assert.equal(encodeTlogProof(parseTlogProof(text)), text)
      const verdict = await verifyTlogProof(text, leaves[index] ?? Buffer.alloc(0), policy)
      assert(verdict.ok && verdict.index === index && verdict.checkpoint.size === size)
      const other = leaves[(index + 1) % leaves.length] ?? Buffer.alloc(0)
      assert.equal((await verifyTlogProof(text, other, policy)).ok, false)
    }),
    { numRuns: 60 },
  )
})

test('a proof with one character changed anywhere does not verify', async () => {
  const text = proofOf(77, 203)
  const leaf = leaves[77] ?? Buffer.alloc(0)
  for (let at = 0; at < text.length; at += 1) {
    const changed = `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`
    assert.equal((await verifyTlogProof(changed, leaf, policy)).ok, false, `character ${at}: ${text[at]}`)
  }
})

test('a proof with a line more or less, or cut off, does not verify', async () => {
  const text = proofOf(77, 203)
  const leaf = leaves[77] ?? Buffer.alloc(0)
  const lines = text.split('\n')
  for (let at = 0; at < lines.length; at += 1) {
    for (const changed of [lines.toSpliced(at, 1), lines.toSpliced(at, 0, lines[3] ?? '')])
      assert.equal((await verifyTlogProof(changed.join('\n'), leaf, policy)).ok, false, `line ${at}`)
  }
  for (let end = 0; end < text.length; end += 13)
    assert.equal((await verifyTlogProof(text.slice(0, end), leaf, policy)).ok, false)
})

test('the extra line is carried and vouches for nothing', async () => {
  const plain = proofOf(3, 10)
  const text = encodeTlogProof({ ...parseTlogProof(plain), extra: 'aGVsbG8=' })
  assert.equal(parseTlogProof(text).extra, 'aGVsbG8=')
  assert.equal((await verifyTlogProof(text, leaves[3] ?? Buffer.alloc(0), policy)).ok, true)
  assert.throws(() => parseTlogProof(text.replace('aGVsbG8=', 'aGVsbG8')), TlogFormatError)
})

test('a leaf that is not 32 bytes is no leaf of ours', async () => {
  assert.equal((await verifyTlogProof(proofOf(3, 10), Buffer.alloc(31), policy)).ok, false)
})

const HASH = Buffer.alloc(32, 1).toString('base64')
test('a request to a witness reads back as it was written', () => {
  for (const request of [
    { oldSize: 0, proof: [], checkpoint: 'note' },
    { oldSize: 20_852_014, proof: [HASH, HASH], checkpoint: 'a\n\nb\n' },
  ])
    assert.deepEqual(parseAddCheckpoint(encodeAddCheckpoint(request)), request)
})

for (const body of [
  '',
  'old 1\n',
  'old 01\n\nnote',
  'old -1\n\nnote',
  'old  1\n\nnote',
  'old\n\nnote',
  'OLD 1\n\nnote',
  `old 1\n${HASH}x\n\nnote`,
  `old 1\n ${HASH}\n\nnote`,
  `old 1\r\n${HASH}\n\nnote`,
  `old 1\n${`${HASH}\n`.repeat(64)}\nnote`,
])
  test(`no request to a witness: ${JSON.stringify(body.slice(0, 30))}`, () => {
    assert.throws(() => parseAddCheckpoint(body), TlogFormatError)
  })

test('the answer of a witness is lines of signatures and nothing else', () => {
  const line = '— w.example AAAAAQEBAQE=\n'
  assert.deepEqual(parseCosignatures(line + line), [line, line])
  for (const answer of ['', 'ok', line.slice(0, -1), `${line}\n`, `${line}text\n`])
    assert.throws(() => parseCosignatures(answer), TlogFormatError)
})
