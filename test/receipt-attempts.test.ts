import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { checkLog } from '#billing/check-log.ts'
import { parseReceipt } from '#billing/parse-receipt.ts'
import { checkConsistency } from '#billing/tlog/check-consistency.ts'
import { decodeHash, verifyCheckpoint } from '#billing/tlog/checkpoint.ts'
import { parseTlogPolicy } from '#billing/tlog/policy.ts'
import { verifyDocumentBundle } from '#billing/verify-document.ts'
import { verifyBundle } from '#billing/verify-receipt.ts'
import { verifySet } from '#billing/verify-set.ts'
import { verifyStatements } from '#billing/verify-statements.ts'
import { goodVectors } from '#test/receipt-vectors/good.ts'
import {
  currentSigner,
  retiredSigner,
  revokedSigner,
  rootSigner,
  unknownSigner,
  vectorKeys,
} from '#test/receipt-vectors/keys.ts'
import { sealBatch, sealDocuments } from '#test/receipt-vectors/seal.ts'
import { setReceipts, setStatements } from '#test/receipt-vectors/statement-sets.ts'

// What somebody can try against receipts, documents and the log, one after the other. Every attempt has to be noticed.

const folder = new URL('../src/billing/vectors/', import.meta.url)
const read = (name: string) => readFile(new URL(name, folder), 'utf8')

let attempts = 0
/** One attempt: `verifies` is what a verifier would say of the forgery. */
function expectNoticed(what: string, verifies: boolean): void {
  attempts += 1
  assert.equal(verifies, false, `not noticed: ${what}`)
}

type Json = string | number | boolean | Json[] | { [name: string]: Json }

/** Every value like this one but for one place: another value, one fewer, one more. */
function* variants(value: Json, place = '$'): Generator<[place: string, variant: Json]> {
  if (typeof value === 'string') {
    for (const at of [0, Math.floor(value.length / 2), value.length - 1]) {
      const char = value.charAt(at)
      yield [`${place} at ${at}`, `${value.slice(0, at)}${char === '1' ? '2' : '1'}${value.slice(at + 1)}`]
    }
    yield [`${place} longer`, `${value}0`]
    yield [`${place} as a number`, 1]
  } else if (typeof value === 'number') {
    yield [`${place} + 1`, value + 1]
    yield [`${place} as text`, `${value}`]
  } else if (typeof value === 'boolean') yield [`not ${place}`, !value]
  else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      for (const [where, other] of variants(item, `${place}[${index}]`)) yield [where, value.with(index, other)]
      yield [`${place} without ${index}`, value.toSpliced(index, 1)]
      yield [`${place} with ${index} twice`, value.toSpliced(index, 0, item)]
    }
    if (value.length > 1) yield [`${place} reversed`, value.toReversed()]
  } else {
    for (const [name, member] of Object.entries(value)) {
      for (const [where, other] of variants(member, `${place}.${name}`)) yield [where, { ...value, [name]: other }]
      const { [name]: _, ...rest } = value
      yield [`${place} without ${name}`, rest]
    }
    yield [`${place} with another member`, { ...value, another: 'x' }]
  }
}

/** Every bit of every byte would be many thousands: one bit of each byte. */
function* flips(base64: string): Generator<string> {
  const bytes = Buffer.from(base64, 'base64')
  for (const [index, byte] of bytes.entries()) {
    const changed = Buffer.from(bytes)
    changed[index] = byte ^ (1 << (index % 8))
    yield changed.toString('base64')
  }
}

test('each field of a receipt, of its batch, and each byte of each hash and of the signature', async () => {
  const bundle = goodVectors.find(({ name }) => name === 'all-fields')?.bundle
  assert(bundle)
  assert((await verifyBundle(bundle, vectorKeys)).ok)
  const same = JSON.stringify(bundle)
  for (const [place, variant] of variants(bundle as unknown as Json))
    if (JSON.stringify(variant) !== same) expectNoticed(place, (await verifyBundle(variant, vectorKeys)).ok)
  for (const [index, node] of bundle.batch.path.entries())
    for (const other of flips(node)) {
      const forged = { ...bundle, batch: { ...bundle.batch, path: bundle.batch.path.with(index, other) } }
      expectNoticed(`path hash ${index}`, (await verifyBundle(forged, vectorKeys)).ok)
    }
  for (const name of ['root', 'sig'] as const)
    for (const other of flips(bundle.batch[name]))
      expectNoticed(name, (await verifyBundle({ ...bundle, batch: { ...bundle.batch, [name]: other } }, vectorKeys)).ok)
})

test('each field of each kind of document', async () => {
  for (const file of ['document-statement.json', 'document-manifest.json']) {
    const bundle: Json = JSON.parse(await read(file))
    const verify = async (value: unknown) =>
      (await verifyDocumentBundle(value, vectorKeys, { rootKeyId: rootSigner.keyId })).ok
    assert(await verify(bundle), file)
    const same = JSON.stringify(bundle)
    for (const [place, variant] of variants(bundle))
      if (JSON.stringify(variant) !== same) expectNoticed(`${file} ${place}`, await verify(variant))
  }
})

test('receipts reordered in their batch, moved to another one, and signed by the wrong key or at the wrong time', async () => {
  const [receipts, others] = [setReceipts.slice(0, 5), setReceipts.slice(1)]
  const sealed = sealBatch('batch-a', receipts, currentSigner)
  const moved = sealBatch('batch-b', others, currentSigner)
  for (const bundle of sealed) assert((await verifyBundle(bundle, vectorKeys)).ok)
  // The other batch holds some of them too, at their own places.
  for (const [from, { receipt }] of sealed.entries())
    for (const [to, { batch }] of [...sealed, ...moved].entries())
      if (to !== from && moved[to - sealed.length]?.receipt.seq !== receipt.seq)
        expectNoticed(`receipt ${from} at place ${to}`, (await verifyBundle({ receipt, batch }, vectorKeys)).ok)
  for (const signer of [unknownSigner, revokedSigner, retiredSigner])
    for (const bundle of sealBatch('batch-c', receipts, signer)) {
      expectNoticed(`signed by ${signer.keyId}`, (await verifyBundle(bundle, vectorKeys)).ok)
      const renamed = { ...bundle, batch: { ...bundle.batch, key_id: currentSigner.keyId } }
      expectNoticed(`signed by ${signer.keyId} under another name`, (await verifyBundle(renamed, vectorKeys)).ok)
    }
  for (const issued_at of ['2026-09-30T23:59:59.999Z', '1970-01-01T00:00:00.000Z'])
    for (const bundle of sealBatch(
      'batch-d',
      receipts.map((receipt) => ({ ...receipt, issued_at })),
      currentSigner,
    ))
      expectNoticed(`issued at ${issued_at}`, (await verifyBundle(bundle, vectorKeys)).ok)
})

test('receipts and statements of an account: one withheld, one twice, one replaced, replayed in another account', async () => {
  const verify = async (receipts: readonly object[], statements: readonly object[]) => {
    const read = receipts.map((receipt) => parseReceipt(receipt))
    const stated = await verifyStatements(read, statements as never)
    const open = (account: string) => stated.accounts.find((known) => known.account === account)?.openNumbers ?? []
    return (
      stated.ok &&
      verifySet(
        receipts.map((receipt) => ({ receipt })),
        open,
      ).ok
    )
  }
  assert(await verify(setReceipts, setStatements))
  for (const [index, receipt] of setReceipts.entries()) {
    expectNoticed(`receipt ${index} withheld`, await verify(setReceipts.toSpliced(index, 1), setStatements))
    expectNoticed(`receipt ${index} twice`, await verify([...setReceipts, receipt], setStatements))
    const renumbered = { ...receipt, seq: receipt.seq + 100 }
    expectNoticed(`receipt ${index} renumbered`, await verify(setReceipts.with(index, renumbered), setStatements))
    const elsewhere = { ...receipt, account: 'acc_other' }
    expectNoticed(
      `receipt ${index} of another account`,
      await verify(setReceipts.with(index, elsewhere), setStatements),
    )
    for (const change of [{ charged_nanousd: '1' }, { model: 'other' }, { issued_at: '2026-11-20T10:00:00.001Z' }])
      expectNoticed(
        `receipt ${index} replaced`,
        await verify(setReceipts.with(index, { ...receipt, ...change }), setStatements),
      )
  }
  for (const [index, statement] of setStatements.entries()) {
    if (index < setStatements.length - 1)
      expectNoticed(`statement ${index} withheld`, await verify(setReceipts, setStatements.toSpliced(index, 1)))
    expectNoticed(`statement ${index} twice`, await verify(setReceipts, [...setStatements, statement]))
    const elsewhere = { ...statement, account: 'acc_other' }
    expectNoticed(
      `statement ${index} of another account`,
      await verify(setReceipts, setStatements.with(index, elsewhere)),
    )
  }
  // Whatever it says, a statement is nobody's before it is signed.
  const [bundle] = sealDocuments('batch-e', setStatements, unknownSigner)
  expectNoticed('a statement by a key that is not listed', (await verifyDocumentBundle(bundle, vectorKeys)).ok)
})

test('each character of a proof and of its checkpoint, with witnesses', async () => {
  const policy = await parseTlogPolicy(await read('log-policy-witnesses.txt'))
  const bundle: unknown = JSON.parse(await read('log-bundle.json'))
  const proof = await read('log-witnessed.tlog-proof')
  const verify = async (text: string) => (await checkLog(bundle, [text], policy)).step.ok
  assert(await verify(proof))
  for (let at = 0; at < proof.length; at++) {
    const char = proof.charAt(at)
    for (const other of [char === 'A' ? 'B' : 'A', '\n', ''])
      if (other !== char)
        expectNoticed(
          `character ${at} as ${JSON.stringify(other)}`,
          await verify(`${proof.slice(0, at)}${other}${proof.slice(at + 1)}`),
        )
  }
  for (const lines of [proof.split('\n')])
    for (const [index, line] of lines.entries()) {
      if (index === lines.length - 1) continue
      expectNoticed(`line ${index} missing`, await verify(lines.toSpliced(index, 1).join('\n')))
      // A cosignature that stands twice is still the one that was given.
      if (!line.startsWith('— '))
        expectNoticed(`line ${index} twice`, await verify(lines.toSpliced(index, 0, line).join('\n')))
    }
})

test('each byte of a consistency proof, and trees that were forked or cut off', async () => {
  const { logs } = await parseTlogPolicy(await read('log-policy-log.txt'))
  const [log] = logs
  assert(log)
  const pairs: Record<string, { old: string; new: string; path: string[] }> = {}
  for (const name of ['grown', 'grown-8', 'grown-1', 'grown-12', 'same', 'forked', 'forked-same'])
    pairs[name] = JSON.parse(await read(`consistency-${name}.json`))
  const verify = async (pair: { old: string; new: string; path: string[] }) => {
    const [before, after] = [
      await verifyCheckpoint(pair.old, { log, witnesses: [], quorum: 0 }),
      await verifyCheckpoint(pair.new, { log, witnesses: [], quorum: 0 }),
    ]
    if (before.problem !== undefined || after.problem !== undefined) return false
    const [old, now] = [before.checkpoint, after.checkpoint]
    const roots = { oldRoot: decodeHash(old.root), root: decodeHash(now.root) }
    return checkConsistency({ oldSize: old.size, size: now.size, ...roots, path: pair.path.map(decodeHash) })
  }
  for (const name of ['grown', 'grown-8', 'grown-1', 'grown-12', 'same']) {
    const pair = pairs[name]
    assert(pair)
    assert(await verify(pair), name)
    for (const [index, node] of pair.path.entries()) {
      for (const other of flips(node))
        expectNoticed(`${name} hash ${index}`, await verify({ ...pair, path: pair.path.with(index, other) }))
      expectNoticed(`${name} without ${index}`, await verify({ ...pair, path: pair.path.toSpliced(index, 1) }))
      expectNoticed(`${name} with ${index} twice`, await verify({ ...pair, path: pair.path.toSpliced(index, 0, node) }))
    }
    for (const [other, { old }] of Object.entries(pairs))
      if (old !== pair.old) expectNoticed(`${name} from the tree of ${other}`, await verify({ ...pair, old }))
    for (const forked of ['forked'])
      expectNoticed(`${name} to a fork`, await verify({ ...pair, new: pairs[forked]?.new ?? '' }))
  }
})

test('the attempts were counted', (t) => {
  assert(attempts > 3_000, `${attempts}`)
  t.diagnostic(`${attempts} attempts, all noticed`)
})
