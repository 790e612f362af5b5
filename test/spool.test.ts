import assert from 'node:assert/strict'
import { appendFile, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { leafHash } from '#billing/merkle.ts'
import type { SettleOp } from '#domain/ledger.ts'
import { openSpool, parseSpool } from '#domain/spool.ts'

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fluxgate-spool-'))
})
after(() => rm(folder, { recursive: true, force: true }))

function settlementOf(n: number): SettleOp {
  const receipt = `{"n":${n},"alias_name":"été"}`
  return {
    requestId: n.toString(16).padStart(32, '0'),
    walletId: 9_007_199_254_740_993n,
    seq: BigInt(n),
    charged: 2n ** 60n,
    absorbed: 0n,
    cost: 2n ** 60n,
    outcome: 1,
    projectId: 'prj_1',
    keyId: 'key_1',
    aliasName: 'été',
    profile: null,
    origin: null,
    provider: 'sim',
    model: 'sim/echo',
    modelUsed: 'echo',
    usageSource: 1,
    inputTokens: 1,
    outputTokens: 2,
    attempts: 1,
    receipt,
    leaf: leafHash(receipt),
  }
}

const [one, two, three] = [settlementOf(1), settlementOf(2), settlementOf(3)]

test('what was appended is found by the next process, whole', async () => {
  const path = join(folder, 'found')
  const spool = await openSpool(path)
  await spool.append([one, two])
  await spool.append([two, three])
  assert.equal(spool.size, 3)
  await spool.close()
  const next = await openSpool(path)
  assert.deepEqual([next.left, next.torn], [[one, two, three], 0])
  await next.close()
})

test('the file is emptied when everything is settled, and only then', async () => {
  const path = join(folder, 'emptied')
  const spool = await openSpool(path)
  await spool.append([one, two])
  spool.settled(one.requestId)
  assert((await stat(path)).size > 0)
  spool.settled(two.requestId)
  await spool.append([])
  assert.equal((await stat(path)).size, 0)
  await spool.append([three])
  await spool.close()
  assert.deepEqual(parseSpool(await readFile(path, 'utf8')).ops, [three])
})

test('a settlement that is committed while it is being written does not wait for ever', async () => {
  const path = join(folder, 'overtaken')
  const spool = await openSpool(path)
  const writing = spool.append([one, two])
  spool.settled(one.requestId)
  spool.settled(two.requestId)
  await writing
  assert.equal(spool.size, 0)
  const writingAgain = spool.append([three])
  await new Promise((resolve) => setImmediate(resolve))
  spool.settled(three.requestId)
  await writingAgain
  await spool.append([])
  assert.equal(spool.size, 0)
  await spool.close()
  assert.equal((await stat(path)).size, 0)
})

test('a line that a dying process left half-written does not swallow the one after it', async () => {
  const path = join(folder, 'torn')
  const whole = await openSpool(path)
  await whole.append([one])
  await whole.close()
  const line = await readFile(path)
  for (const cut of [1, 8, 9, 10, line.indexOf('été') + 1, line.length - 1]) {
    await writeFile(path, line.subarray(0, cut))
    const spool = await openSpool(path)
    assert.deepEqual([spool.left, spool.torn], cut === line.length - 1 ? [[one], 0] : [[], 1], `cut at ${cut}`)
    await spool.append([two])
    await spool.close()
    const { ops, torn } = parseSpool(await readFile(path, 'utf8'))
    assert.deepEqual([ops, torn], [[...spool.left, two], 0], `cut at ${cut}`)
  }
})

test('an altered line is skipped and counted', async () => {
  const path = join(folder, 'altered')
  const spool = await openSpool(path)
  await spool.append([one, two])
  await spool.close()
  const text = await readFile(path, 'utf8')
  await writeFile(path, text.replace('"seq":"1n"', '"seq":"2n"'))
  await appendFile(path, 'noise\n')
  const next = await openSpool(path)
  assert.deepEqual([next.left, next.torn], [[two], 2])
  await next.close()
  await writeFile(path, 'a line that was flushed and is damaged\n')
  const damaged = await openSpool(path)
  assert.deepEqual([damaged.left, damaged.torn], [[], 1])
  await damaged.close()
  assert.equal(await readFile(path, 'utf8'), 'a line that was flushed and is damaged\n', 'evidence is kept')
})

test('an append resolves only when its lines are flushed, and a flush that fails is told', async (t) => {
  const path = join(folder, 'flushed')
  const spool = await openSpool(path)
  const handle = await open(path, 'r')
  const methods = Object.getPrototypeOf(handle) as { datasync(): Promise<void> }
  await handle.close()
  let flush: (error?: Error) => void = () => undefined
  let reached: (text: Promise<string>) => void = () => undefined
  const untilReached = () =>
    new Promise<string>((resolve) => {
      reached = resolve
    })
  const mock = t.mock.method(methods, 'datasync', () => {
    reached(readFile(path, 'utf8'))
    return new Promise<void>((done, failed) => {
      flush = (error) => (error === undefined ? done() : failed(error))
    })
  })

  let appended = false
  let flushing = untilReached()
  const appending = spool.append([one]).then(() => {
    appended = true
  })
  const unflushed = appending.then(() => assert.fail('resolved without a flush'))
  unflushed.catch(() => undefined)
  assert.deepEqual(parseSpool(await Promise.race([flushing, unflushed])).ops, [one], 'written before it is flushed')
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(appended, false)
  flush()
  await appending

  flushing = untilReached()
  const failing = spool.append([two])
  await flushing
  flush(new Error('the disk is gone'))
  await assert.rejects(failing, /the disk is gone/)
  mock.mock.restore()
  await spool.append([two])
  await spool.close()
  const next = await openSpool(path)
  assert.deepEqual(new Set(next.left.map((op) => op.requestId)), new Set([one.requestId, two.requestId]))
  await next.close()
})
