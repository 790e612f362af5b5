import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { leafHashOfBytes, merkleRoot } from '#billing/merkle.ts'
import { encodeAddCheckpoint } from '#billing/tlog/add-checkpoint.ts'
import { parseNote } from '#billing/tlog/note.ts'
import { foldSubtrees } from '#billing/tlog/tile-tree.ts'
import { consistencyRanges, subtreesOf } from '#billing/tlog/tree-shape.ts'
import { verifyNote } from '#billing/tlog/verifier-key.ts'
import { createLogSigner } from '#domain/log/log-signer.ts'
import { createWitness } from '#domain/log/witness.ts'
import { openWitnessState } from '#domain/log/witness-state.ts'

const dir = await mkdtemp(join(tmpdir(), 'fluxgate-witness-'))
after(() => rm(dir, { recursive: true, force: true }))
let files = 0

const log = await createLogSigner('log.example/1', createReceiptSigner(Buffer.alloc(32, 1)))
const thief = await createLogSigner('log.example/1', createReceiptSigner(Buffer.alloc(32, 2)))
const other = await createLogSigner('other.example/1', createReceiptSigner(Buffer.alloc(32, 1)))
const witnessSigner = createReceiptSigner(Buffer.alloc(32, 3))
const leaves = Array.from({ length: 40 }, (_, at) => leafHashOfBytes(Buffer.alloc(32, at)))
const forkedLeaves = leaves.with(3, leafHashOfBytes(Buffer.alloc(32, 99)))

function proof(from: number, to: number, of = leaves): string[] {
  return consistencyRanges(from, to).map((range) =>
    foldSubtrees(
      subtreesOf(range).map((part) =>
        merkleRoot(of.slice(part.index * 2 ** part.level, (part.index + 1) * 2 ** part.level)),
      ),
    ).toString('base64'),
  )
}

const checkpoint = (size: number, of = leaves, signer = log) => signer.checkpoint(size, merkleRoot(of.slice(0, size)))
const request = (from: number, to: number, of = leaves, signer = log) =>
  encodeAddCheckpoint({ oldSize: from, proof: proof(from, to, of), checkpoint: checkpoint(to, of, signer) })

async function openWitness(path = join(dir, `state-${files++}.json`)) {
  const witness = await createWitness({
    name: 'w.example/1',
    signer: witnessSigner,
    logs: [log.key],
    state: await openWitnessState(path),
    now: () => 1_700_000_000,
  })
  return { ...witness, path }
}

test('a log that grows is cosigned step by step, and again at the same size', async () => {
  const witness = await openWitness()
  let size = 0
  for (const next of [0, 1, 1, 2, 7, 8, 8, 40]) {
    const { status, body } = await witness.addCheckpoint(request(size, next))
    assert.equal(status, 200, `${size} to ${next}: ${body}`)
    const note = parseNote(checkpoint(next).trimEnd().concat('\n', body))
    assert.deepEqual(await verifyNote(note, witness.key), { state: 'good', time: 1_700_000_000 })
    size = next
  }
})

for (const [what, status, body, answer] of [
  ['nothing', 400, ''],
  ['no note', 400, 'old 5\n\nhello\n'],
  ['a note that is no checkpoint', 400, `old 5\n\nhello\n\n— x AAAAAQEBAQE=\n`],
  ['an old size above the new', 400, encodeAddCheckpoint({ oldSize: 9, proof: [], checkpoint: checkpoint(8) })],
  ['an unknown log', 404, request(5, 8, leaves, other)],
  ['a key that is not the log’s', 403, request(5, 8, leaves, thief)],
  ['a size changed after signing', 403, request(5, 8).replace('\n8\n', '\n9\n')],
  [
    'a signature with one character changed',
    403,
    request(5, 8).replace(/ (\S{10})(\S)(\S+)\n$/, (_, a, b, c) => ` ${a}${b === 'A' ? 'B' : 'A'}${c}\n`),
  ],
  ['a bad signature of the key beside a good one', 403, `${request(5, 8)}${checkpoint(7).split('\n').at(-2)}\n`],
  ['an old size that is too small', 409, request(4, 8), '5\n'],
  ['an old size of zero', 409, request(0, 8), '5\n'],
  ['an old size that is too large', 409, request(6, 8), '5\n'],
  ['another history', 422, request(5, 8, forkedLeaves)],
  ['another history of the same size', 422, request(5, 5, forkedLeaves)],
  ['no proof', 422, encodeAddCheckpoint({ oldSize: 5, proof: [], checkpoint: checkpoint(8) })],
  [
    'a proof where none is due',
    422,
    encodeAddCheckpoint({ oldSize: 5, proof: proof(5, 8), checkpoint: checkpoint(5) }),
  ],
  ['a hash less', 422, encodeAddCheckpoint({ oldSize: 5, proof: proof(5, 8).slice(1), checkpoint: checkpoint(8) })],
  [
    'a root of the empty tree that is none',
    400,
    encodeAddCheckpoint({ oldSize: 5, proof: [], checkpoint: log.checkpoint(0, merkleRoot(leaves)) }),
  ],
] as const)
  test(`${status}: ${what}; and nothing is remembered of it`, async () => {
    const witness = await openWitness()
    assert.equal((await witness.addCheckpoint(request(0, 5))).status, 200)
    const before = await readFile(witness.path, 'utf8')
    const reply = await witness.addCheckpoint(body)
    assert.equal(reply.status, status, reply.body)
    if (answer !== undefined) assert.deepEqual([reply.body, reply.type], [answer, 'text/x.tlog.size'])
    assert.equal(await readFile(witness.path, 'utf8'), before)
    assert.equal((await witness.addCheckpoint(request(5, 8))).status, 200)
  })

test('422 at the very beginning: a proof for old size zero, a wrong empty root', async () => {
  const witness = await openWitness()
  for (const body of [
    encodeAddCheckpoint({ oldSize: 0, proof: proof(1, 8), checkpoint: checkpoint(8) }),
    encodeAddCheckpoint({ oldSize: 0, proof: [], checkpoint: log.checkpoint(0, merkleRoot(leaves)) }),
  ])
    assert.equal((await witness.addCheckpoint(body)).status, 422)
})

test('of many requests at once from one size, one history is cosigned', async () => {
  const witness = await openWitness()
  await witness.addCheckpoint(request(0, 3))
  const bodies = Array.from({ length: 30 }, (_, at) => request(3, 4 + (at % 20), at % 2 === 0 ? leaves : forkedLeaves))
  const statuses = (await Promise.all(bodies.map(witness.addCheckpoint))).map(({ status }) => status)
  assert.equal(statuses.filter((status) => status === 200).length, 1)
  assert(statuses.every((status) => [200, 409].includes(status)))
})

test('what was cosigned survives the process, and a memory that cannot be read stops the start', async () => {
  const first = await openWitness()
  await first.addCheckpoint(request(0, 5))
  const second = await openWitness(first.path)
  assert.equal((await second.addCheckpoint(request(5, 8, forkedLeaves))).status, 422)
  assert.equal((await second.addCheckpoint(request(0, 8, forkedLeaves))).status, 409)
  const text = await readFile(first.path, 'utf8')
  for (const bad of ['', '{}', text.slice(0, -20), text.replace('"size": 5', '"size": "5"')]) {
    await writeFile(first.path, bad)
    await assert.rejects(openWitness(first.path), /is not the state of a witness/)
  }
})

test('monitors find the newest checkpoint with both signatures under the hash of the origin', async () => {
  const witness = await openWitness()
  const hash = createHash('sha256').update('log.example/1').digest('hex')
  assert.equal(await witness.newest(hash), undefined)
  await witness.addCheckpoint(request(0, 5))
  const note = parseNote((await witness.newest(hash)) ?? '')
  assert.equal((await verifyNote(note, log.key)).state, 'good')
  assert.equal((await verifyNote(note, witness.key)).state, 'good')
})

test('signatures of keys that are not known are ignored and not handed on', async () => {
  const witness = await openWitness()
  const { privateKey } = generateKeyPairSync('ed25519')
  const stray = `— stray.example ${Buffer.concat([Buffer.alloc(4), sign(null, Buffer.from('x'), privateKey)]).toString('base64')}\n`
  const { status, body } = await witness.addCheckpoint(`${request(0, 5)}${stray}`)
  assert.equal(status, 200)
  assert(!body.includes('stray'))
  assert(!(await readFile(witness.path, 'utf8')).includes('stray'))
})
