import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { test } from 'node:test'
import { encodeCheckpoint, parseCheckpoint, verifyCheckpoint } from './checkpoint.ts'
import { encodeNote, encodeSignatureLine, parseNote, TlogFormatError } from './note.ts'
import {
  encodeVerifierKey,
  type KeyType,
  parseVerifierKey,
  signatureOf,
  signedBytes,
  type VerifierKey,
  verifierKey,
  verifyNote,
} from './verifier-key.ts'

// Published examples: of the specification, and of golang.org/x/mod/sumdb/note.
const published = [
  {
    vkey: 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
    note: 'This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n',
  },
  {
    vkey: 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
    note: "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n",
  },
]

for (const { vkey, note } of published) {
  test(`the published note of ${vkey.split('+')[0]} verifies, and with any bit flipped it does not`, async () => {
    const key = await parseVerifierKey(vkey)
    assert.equal(encodeVerifierKey(key), vkey)
    const parsed = parseNote(note)
    assert.equal(encodeNote(parsed.text, parsed.signatures.map(encodeSignatureLine)), note)
    assert.deepEqual(await verifyNote(parsed, key), { state: 'good' })
    for (let bit = 0; bit < 512; bit += 7) {
      const signatures = parsed.signatures.map(({ bytes, ...rest }) => ({
        ...rest,
        bytes: bytes.map((byte, at) => (at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte)),
      }))
      assert.deepEqual(await verifyNote({ ...parsed, signatures }, key), { state: 'bad' })
    }
    assert.deepEqual(await verifyNote({ ...parsed, text: `${parsed.text}x\n` }, key), { state: 'bad' })
  })
}

test('what the specification shows reads as it says', () => {
  const example =
    'example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n'
  const note = parseNote(example)
  assert.deepEqual(parseCheckpoint(note.text), {
    origin: 'example.com/behind-the-sofa',
    size: 20_852_163,
    root: 'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=',
    extensions: [],
  })
  const [, witness] = note.signatures
  assert.equal(witness?.keyId, '8d66cf3f')
  assert.equal(new DataView(witness.bytes.buffer).getBigUint64(0), 1_679_315_147n)
})

const good = '— a.example AAAAAQEBAQE=\n'
for (const [what, note] of [
  ['no signature', 'text\n\n'],
  ['no blank line', `text\n${good}`],
  ['no last line feed', `text\n\n${good.slice(0, -1)}`],
  ['a carriage return', `te\rxt\n\n${good}`],
  ['a tab', `te\txt\n\n${good}`],
  ['a lone surrogate', `te\ud800xt\n\n${good}`],
  ['a hyphen for the dash', 'text\n\n- a.example AAAAAQEBAQE=\n'],
  ['two spaces', 'text\n\n—  a.example AAAAAQEBAQE=\n'],
  ['a plus in the name', 'text\n\n— a+example AAAAAQEBAQE=\n'],
  ['a no-break space in the name', 'text\n\n— a\u00a0example AAAAAQEBAQE=\n'],
  ['Base64 without padding', 'text\n\n— a.example AAAAAQEBAQE\n'],
  ['nothing behind the key id', 'text\n\n— a.example AAAAAQ==\n'],
  ['too many signatures', `text\n\n${good.repeat(65)}`],
  ['a line that is no signature', `text\n\n${good}text\n`],
] as const)
  test(`a note with ${what} is refused`, () => {
    assert.throws(() => parseNote(note), TlogFormatError)
  })

test('a text with blank lines of its own is cut at the last', () => {
  assert.equal(parseNote(`one\n\ntwo\n\n${good}`).text, 'one\n\ntwo\n')
  assert.equal(parseNote(`\n\n${good}`).text, '\n')
})

for (const vkey of [
  '',
  'example.com/foo',
  'example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
  'example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
  'example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
  'example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
  'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3Q==',
  ' example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
])
  test(`no vkey: "${vkey}"`, async () => {
    await assert.rejects(parseVerifierKey(vkey), TlogFormatError)
  })

const ROOT = Buffer.alloc(32, 7).toString('base64')
for (const [what, text] of [
  ['no line feed at the end', `a\n1\n${ROOT}`],
  ['an empty origin', `\n1\n${ROOT}\n`],
  ['a leading zero', `a\n01\n${ROOT}\n`],
  ['a sign', `a\n+1\n${ROOT}\n`],
  ['an empty size', `a\n\n${ROOT}\n`],
  ['a size past 2^53', `a\n9007199254740992\n${ROOT}\n`],
  ['a short root', 'a\n1\nAAAA\n'],
  ['a root in hex', `a\n1\n${'07'.repeat(32)}\n`],
  ['an empty extension', `a\n1\n${ROOT}\n\n`],
  ['two lines', 'a\n1\n'],
] as const)
  test(`a checkpoint with ${what} is refused`, () => {
    assert.throws(() => parseCheckpoint(text), TlogFormatError)
  })

test('a checkpoint is accepted by its policy, and by no stricter one', async () => {
  const log = await signer('log.example/1', 'note')
  const one = await signer('w1.example', 'cosignature')
  const two = await signer('w2.example', 'cosignature')
  const text = encodeCheckpoint({ origin: 'log.example/1', size: 5, root: ROOT })
  const note = encodeNote(text, [log.line(text), one.line(text, 1_700_000_000), two.line(text, 1_700_000_001)])
  const policy = { log: log.key, witnesses: [one.key, two.key], quorum: 2 }
  const { problem, cosignatures } = await verifyCheckpoint(note, policy)
  assert.equal(problem, undefined)
  assert.deepEqual(cosignatures, [
    { name: 'w1.example', time: 1_700_000_000 },
    { name: 'w2.example', time: 1_700_000_001 },
  ])
  const problems = [
    // A witness that is listed twice counts once, under whatever names.
    [note, { ...policy, witnesses: [one.key, one.key, await verifierKey('w9', 'cosignature', one.key.publicKey)] }],
    [encodeNote(text, [log.line(text), one.line(text, 1)]), policy],
    [encodeNote(text, [one.line(text, 1), two.line(text, 1)]), policy],
    [note, { ...policy, log: (await signer('log.example/1', 'note')).key }],
    [note, { ...policy, log: (await signer('other.example', 'note')).key }],
    [note.replace('\n5\n', '\n6\n'), { ...policy, quorum: 0 }],
    [encodeNote(text, [log.line(text), two.line(text, 1), one.line(`${text}x\n`, 1)]), { ...policy, quorum: 0 }],
    [encodeNote(text, [log.line(text), one.line(text, 0), two.line(text, 1)]), policy],
    // As text, a time after the year 9999 comes before every other.
    [encodeNote(text, [log.line(text), one.line(text, 253_402_300_800), two.line(text, 1)]), policy],
  ] as const
  for (const [at, [bad, under]] of problems.entries())
    assert.notEqual((await verifyCheckpoint(bad, under)).problem, undefined, `problem ${at}`)
})

async function signer(name: string, type: KeyType) {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const key = await verifierKey(name, type, rawKey(publicKey))
  return { key, line: (text: string, time = 0) => line(privateKey, key, text, time) }
}

function line(privateKey: KeyObject, key: VerifierKey, text: string, time: number): string {
  const signature = sign(null, signedBytes(key.type, text, time), privateKey)
  return encodeSignatureLine(signatureOf(key, { signature, time }))
}

function rawKey(publicKey: KeyObject): Buffer {
  return Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
}
