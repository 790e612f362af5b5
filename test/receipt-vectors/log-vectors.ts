import type { ReceiptSigner } from '#adapters/receipt-signer.ts'
import { createMerkleRoot, inclusionPath, leafHashOfBytes, merkleRoot } from '#billing/merkle.ts'
import { encodeCheckpoint } from '#billing/tlog/checkpoint.ts'
import { encodeNote, encodeSignatureLine } from '#billing/tlog/note.ts'
import { encodeTlogProof } from '#billing/tlog/tlog-proof.ts'
import {
  encodeVerifierKey,
  type KeyType,
  signatureOf,
  signedBytes,
  type VerifierKey,
  verifierKey,
} from '#billing/tlog/verifier-key.ts'
import { freshBundle, full } from './good.ts'
import { logSigner, revokedSigner, unknownSigner, witnessSigners } from './keys.ts'
import { type LooseBundle, sealOne } from './seal.ts'

// A log of 13 batches in which two bundles stand, its checkpoints with and without witnesses, and what forgers make of them.

const ORIGIN = 'receipts.example.com/1'
const SIZE = 13
const OLD_SIZE = 6
const SEEN = '2026-11-25T11:00:00.000Z'
const LATE = '2026-11-25T13:00:00.000Z'

/** `policy`: the policy file itself is wrong. */
export type LogStep = 'policy' | 'key' | 'log'

/** A bundle, a proof and a policy by the names of their files. */
export interface ProofVector {
  name: string
  expect: LogStep | 'ok'
  why: string
  bundle: string
  proof: string
  policy: string
}

export interface ConsistencyVector {
  name: string
  expect: 'ok' | 'checkpoint' | 'consistency'
  why: string
  text: string
}

interface Signer {
  signer: ReceiptSigner
  key: VerifierKey
}

const named = async (name: string, type: KeyType, signer: ReceiptSigner): Promise<Signer> => ({
  signer,
  key: await verifierKey(name, type, signer.publicKey),
})

const log = await named(ORIGIN, 'note', logSigner)
const witnesses = await Promise.all(
  witnessSigners.map((signer, index) => named(`witness-${index + 1}.example`, 'cosignature', signer)),
)
const [one, two, three] = witnesses as [Signer, Signer, Signer]
const impostor = await named(one.key.name, 'cosignature', unknownSigner)

const bundle = freshBundle()
/** Signed by a key that was revoked later, at noon of 25 November. */
const revoked = sealOne({ ...full, receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a99' }, revokedSigner)
const rootOf = (of: LooseBundle) => Buffer.from(of.batch.root, 'base64')

const data = Array.from({ length: SIZE }, (_, n) => Buffer.alloc(32, n + 1))
data[4] = rootOf(bundle)
data[12] = rootOf(revoked)
const leaves = data.map(leafHashOfBytes)
const forkedLeaves = leaves.map((leaf, n) => (n === 2 ? leafHashOfBytes(Buffer.alloc(32, 99)) : leaf))

function signatureLine({ signer, key }: Signer, text: string, at: string): string {
  const time = Date.parse(at) / 1000
  return encodeSignatureLine(signatureOf(key, { signature: signer.sign(signedBytes(key.type, text, time)), time }))
}

interface CheckpointOptions {
  size?: number
  of?: readonly Buffer[]
  origin?: string
  by?: readonly (readonly [Signer, string?])[]
}

function checkpoint({ size = SIZE, of = leaves, origin = ORIGIN, by = [[log]] }: CheckpointOptions = {}): string {
  const root = merkleRoot(of.slice(0, size)).toString('base64')
  const text = encodeCheckpoint({ origin, size, root })
  return encodeNote(
    text,
    by.map(([signer, at = SEEN]) => signatureLine(signer, text, at)),
  )
}

interface ProofOptions extends CheckpointOptions {
  index?: number
  path?: (path: string[]) => string[]
  note?: string
  extra?: string
}

function proof({ index = 4, path = (same) => same, note, extra, ...options }: ProofOptions = {}): string {
  const { size = SIZE, of = leaves } = options
  const hashes = inclusionPath(of.slice(0, size), Math.min(index, size - 1)).map((node) => node.toString('base64'))
  return encodeTlogProof({
    index,
    path: path(hashes),
    checkpoint: note ?? checkpoint(options),
    ...(extra !== undefined && { extra }),
  })
}

const vkey = ({ key }: Signer) => encodeVerifierKey(key)
const policies: Readonly<Record<string, string>> = {
  'policy-log': `log ${vkey(log)}\nquorum none\n`,
  'policy-witnesses': `# Two of three.
log ${vkey(log)} https://receipts.example.com/log

witness one ${vkey(one)}
witness two ${vkey(two)} https://two.example
\twitness three ${vkey(three)}
group all-of-them 2 one two three
quorum all-of-them
`,
  'policy-groups': `log ${vkey(log)}
witness one ${vkey(one)}
witness two ${vkey(two)}
witness three ${vkey(three)}
group inner any two three
group outer all one inner
quorum outer
`,
  'policy-other-log': `log ${encodeVerifierKey(await verifierKey('other.example.com/1', 'note', logSigner.publicKey))}\nquorum none\n`,
  'policy-other-key': `log ${encodeVerifierKey(await verifierKey(ORIGIN, 'note', unknownSigner.publicKey))}\nquorum none\n`,
  'policy-no-quorum': `log ${vkey(log)}\n`,
  'policy-undefined': `log ${vkey(log)}\nquorum nobody\n`,
  'policy-twice': `log ${vkey(log)}\nwitness one ${vkey(one)}\nwitness uno ${vkey(one)}\ngroup g any one uno\nquorum g\n`,
  'policy-member-twice': `log ${vkey(log)}\nwitness one ${vkey(one)}\ngroup g 1 one one\nquorum g\n`,
  'policy-threshold': `log ${vkey(log)}\nwitness one ${vkey(one)}\ngroup g 2 one\nquorum g\n`,
  'policy-witness-is-log': `log ${vkey(log)}\nwitness one ${vkey(log)}\nquorum one\n`,
}

const flip = (base64 = '') => {
  const bytes = Buffer.from(base64, 'base64')
  bytes[3] = (bytes[3] ?? 0) ^ 16
  return bytes.toString('base64')
}
const both: readonly (readonly [Signer, string?])[] = [[log], [one], [two]]
const good = proof()
const lines = good.split('\n')

type Row = readonly [
  name: string,
  expect: LogStep | 'ok',
  why: string,
  proof: string,
  policy?: string,
  of?: LooseBundle,
]

const rows: readonly Row[] = [
  ['inclusion', 'ok', 'the batch is leaf 4 of 13', good],
  ['extra', 'ok', 'with extra data, which nobody vouches for', proof({ extra: 'eA==' })],
  [
    'first-of-one',
    'ok',
    'a log of one leaf has an empty path',
    proof({ index: 0, size: 1, of: [leafHashOfBytes(rootOf(bundle))] }),
  ],
  ['unknown-cosigner', 'ok', 'signatures by nobody that is known are passed over', proof({ by: [[log], [one]] })],
  ['witnessed', 'ok', 'two of three witnesses', proof({ by: both }), 'policy-witnesses'],
  [
    'witnessed-group',
    'ok',
    'a witness and one of an inner group',
    proof({ by: [[log], [three], [one]] }),
    'policy-groups',
  ],
  [
    'revoked-before',
    'ok',
    'signed by a key that was revoked later, as witnesses can tell',
    proof({ index: 12, by: both }),
    'policy-witnesses',
    revoked,
  ],
  [
    'revoked-late',
    'key',
    'witnesses saw it only after the revocation',
    proof({ index: 12, by: [[log], [one, LATE], [two, LATE]] }),
    'policy-witnesses',
    revoked,
  ],
  [
    'revoked-one-late',
    'key',
    'one of the two that are needed saw it only after the revocation',
    proof({ index: 12, by: [[log], [one], [two, LATE]] }),
    'policy-witnesses',
    revoked,
  ],
  [
    'revoked-at',
    'key',
    'witnesses saw it in the second of the revocation',
    proof({ index: 12, by: [[log], [one, '2026-11-25T12:00:00.000Z'], [two]] }),
    'policy-witnesses',
    revoked,
  ],
  [
    'revoked-unwitnessed',
    'key',
    'the log has it, but nobody says since when',
    proof({ index: 12 }),
    'policy-log',
    revoked,
  ],
  ['too-few', 'log', 'one of three witnesses, two are needed', proof({ by: [[log], [one]] }), 'policy-witnesses'],
  ['group-too-few', 'log', 'the inner group alone', proof({ by: [[log], [two], [three]] }), 'policy-groups'],
  ['witness-twice', 'log', 'one witness signed twice', proof({ by: [[log], [one], [one, LATE]] }), 'policy-witnesses'],
  [
    'witness-forged',
    'log',
    'somebody else under the name of a witness',
    proof({ by: [[log], [impostor], [two]] }),
    'policy-witnesses',
  ],
  [
    'witness-bad',
    'log',
    'a signature of a known witness that does not verify',
    proof({ by: both }).replace(
      /(— witness-1\.example .{20}).(.*)/,
      (_, head: string, tail: string) => `${head}${'A'}${tail}`,
    ),
    'policy-witnesses',
  ],
  ['no-log-signature', 'log', 'witnesses without the log', proof({ by: [[one], [two]] }), 'policy-witnesses'],
  ['other-log', 'log', 'a policy of another log', good, 'policy-other-log'],
  ['other-log-key', 'log', 'another key under the name of the log', good, 'policy-other-key'],
  ['other-origin', 'log', 'a checkpoint of another log with the same key', proof({ origin: 'other.example.com/1' })],
  [
    'forked',
    'log',
    'the proof of one tree, the checkpoint of another',
    proof({ note: checkpoint({ of: forkedLeaves }) }),
  ],
  ['truncated-tree', 'log', 'the checkpoint of a tree that is shorter', proof({ note: checkpoint({ size: 12 }) })],
  ['old-tree', 'log', 'the checkpoint of a tree before the leaf', proof({ note: checkpoint({ size: 4 }) })],
  ['index-neighbour', 'log', 'the place of a neighbour', good.replace('index 4', 'index 5')],
  ['index-beyond', 'log', 'a place behind the last', good.replace('index 4', 'index 13')],
  ['index-padded', 'log', 'a place with a leading zero', good.replace('index 4', 'index 04')],
  ['index-missing', 'log', 'no place', good.replace('index 4\n', '')],
  ['path-shorter', 'log', 'the last path hash is missing', proof({ path: (path) => path.slice(0, -1) })],
  ['path-longer', 'log', 'one path hash too many', proof({ path: (path) => [...path, path[0] ?? ''] })],
  ['path-reversed', 'log', 'the path from the root down', proof({ path: (path) => path.toReversed() })],
  ...[0, 1, 2, 3].map(
    (at): Row => [
      `path-bit-${at}`,
      'log',
      `one bit of path hash ${at}`,
      proof({ path: (path) => path.map((node, n) => (n === at ? flip(node) : node)) }),
    ],
  ),
  [
    'path-short-hash',
    'log',
    'a path hash of 31 bytes',
    proof({ path: ([, ...rest]) => [Buffer.alloc(31).toString('base64'), ...rest] }),
  ],
  ['header', 'log', 'another version of the format', good.replace('@v1', '@v2')],
  ['no-blank', 'log', 'no blank line before the checkpoint', [...lines.slice(0, 6), ...lines.slice(7)].join('\n')],
  ['checkpoint-size', 'log', 'another size in the checkpoint', good.replace('\n13\n', '\n14\n')],
  ['checkpoint-root', 'log', 'one bit of the root', good.replace(lines[9] ?? '', flip(lines[9]))],
  [
    'checkpoint-sig',
    'log',
    'one bit of the signature',
    good.replace(/(— \S+ .{30})(.)/, (_, head: string, char: string) => `${head}${char === 'A' ? 'B' : 'A'}`),
  ],
  ['checkpoint-unsigned', 'log', 'a checkpoint without signatures', good.slice(0, good.indexOf('— '))],
  ['other-batch', 'log', 'the proof of another batch', proof({ index: 3 })],
  ['replayed', 'log', 'the proof of one bundle beside another', good, 'policy-log', revoked],
  ['policy-no-quorum', 'policy', 'a policy without a quorum', good, 'policy-no-quorum'],
  ['policy-undefined', 'policy', 'a quorum that is not defined', good, 'policy-undefined'],
  ['policy-twice', 'policy', 'one witness under two names', proof({ by: both }), 'policy-twice'],
  ['policy-member-twice', 'policy', 'one member twice in a group', proof({ by: both }), 'policy-member-twice'],
  ['policy-threshold', 'policy', 'more members needed than there are', proof({ by: both }), 'policy-threshold'],
  ['policy-witness-is-log', 'policy', 'the key of a log in the place of a witness', good, 'policy-witness-is-log'],
]

/** The steps of the receipt come first; of a revoked key that nobody saw, `key` fails before `log` does. */
export const proofVectors: readonly ProofVector[] = rows.map(([name, expect, why, , policy = 'policy-log', of]) => ({
  name,
  expect: of === revoked && expect === 'log' ? 'key' : expect,
  why,
  bundle: of === revoked ? 'log-bundle-revoked.json' : 'log-bundle.json',
  proof: `log-${name}.tlog-proof`,
  policy: `log-${policy}.txt`,
}))

/** Every file that the log vectors need, by name. */
export const logFiles: ReadonlyMap<string, string> = new Map([
  ['log-bundle.json', `${JSON.stringify(bundle, null, 2)}\n`],
  ['log-bundle-revoked.json', `${JSON.stringify(revoked, null, 2)}\n`],
  ...Object.entries(policies).map(([name, text]) => [`log-${name}.txt`, text] as const),
  ...rows.map(([name, , , text]) => [`log-${name}.tlog-proof`, text] as const),
])

/** The path from a tree to its continuation (RFC 9162 section 2.1.4.1). */
function consistencyPath(oldSize: number, all: readonly Buffer[], whole: boolean): Buffer[] {
  if (oldSize === all.length) return whole ? [] : [merkleRoot(all)]
  const split = 2 ** Math.floor(Math.log2(all.length - 1))
  const [left, right] = [all.slice(0, split), all.slice(split)]
  return oldSize <= split
    ? [...consistencyPath(oldSize, left, whole), merkleRoot(right)]
    : [...consistencyPath(oldSize - split, right, false), merkleRoot(left)]
}

interface Pair {
  old: string
  new: string
  path: string[]
}

function pair(oldSize: number, changes: Partial<Pair> = {}, of = leaves): Pair {
  const path = oldSize === 0 ? [] : consistencyPath(oldSize, of, true)
  return {
    old: checkpoint({ size: oldSize, of }),
    new: checkpoint({ of }),
    path: path.map((node) => node.toString('base64')),
    ...changes,
  }
}

const grown = pair(OLD_SIZE)
const pairs: readonly [name: string, expect: ConsistencyVector['expect'], why: string, pair: Pair][] = [
  ['grown', 'ok', 'from 6 leaves to 13', grown],
  ['grown-8', 'ok', 'from a complete tree of 8', pair(8)],
  ['grown-1', 'ok', 'from one leaf', pair(1)],
  ['grown-12', 'ok', 'by one leaf', pair(12)],
  ['grown-0', 'ok', 'from nothing', pair(0, { old: emptyCheckpoint() })],
  ['same', 'ok', 'not at all', pair(SIZE)],
  ['forked', 'consistency', 'an old leaf was replaced', { ...grown, new: checkpoint({ of: forkedLeaves }) }],
  [
    'forked-path',
    'consistency',
    'an old leaf was replaced, with the path of the new tree',
    { ...pair(OLD_SIZE, {}, forkedLeaves), old: grown.old },
  ],
  ['forked-same', 'consistency', 'two trees of one size', { ...pair(SIZE), old: checkpoint({ of: forkedLeaves }) }],
  ['shrunk', 'consistency', 'the new tree is shorter', { ...grown, old: grown.new, new: grown.old }],
  ['path-shorter', 'consistency', 'a hash is missing', { ...grown, path: grown.path.slice(0, -1) }],
  ['path-longer', 'consistency', 'a hash too many', { ...grown, path: [...grown.path, grown.path[0] ?? ''] }],
  ['path-reversed', 'consistency', 'in the other order', { ...grown, path: grown.path.toReversed() }],
  ...grown.path.map((_, at): (typeof pairs)[number] => [
    `path-bit-${at}`,
    'consistency',
    `one bit of hash ${at}`,
    { ...grown, path: grown.path.map((node, n) => (n === at ? flip(node) : node)) },
  ]),
  [
    'old-unsigned',
    'checkpoint',
    'an old checkpoint with another size',
    { ...grown, old: grown.old.replace('\n6\n', '\n5\n') },
  ],
  [
    'new-forged',
    'checkpoint',
    'a new checkpoint by another key',
    { ...grown, new: checkpoint({ by: [[await named(ORIGIN, 'note', unknownSigner)]] }) },
  ],
]

export const consistencyVectors: readonly ConsistencyVector[] = pairs.map(([name, expect, why, value]) => ({
  name,
  expect,
  why,
  text: `${JSON.stringify({ policy: 'log-policy-log.txt', ...value }, null, 2)}\n`,
}))

function emptyCheckpoint(): string {
  const text = encodeCheckpoint({ origin: ORIGIN, size: 0, root: createMerkleRoot().root().toString('base64') })
  return encodeNote(text, [signatureLine(log, text, SEEN)])
}
