import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { canonicalJson } from '#lib/canonical-json.ts'
import { freshBundle, goodVectors } from '#test/receipt-vectors/good.ts'
import { vectorKeys } from '#test/receipt-vectors/keys.ts'
import { BUNDLE_CHARS_MAX, verifyBundle, verifyBundleText } from './verify-receipt.ts'

const seed = 20261122

test('the steps of a good bundle come in order and all pass', async () => {
  const { ok, receipt_id, steps } = await verifyBundle(freshBundle(), vectorKeys)
  assert.ok(ok)
  assert.equal(receipt_id, 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a04')
  assert.deepEqual(
    steps.map((step) => `${step.name} ${step.ok} ${step.reached}`),
    ['format true true', 'path true true', 'signature true true', 'key true true', 'charge true true'],
  )
})

for (const { name, bundle, keys, want } of [
  {
    name: 'an altered charge breaks the path and the charge, but not the signature over the root',
    bundle: altered((receipt) => ({ ...receipt, charged_nanousd: '1' })),
    keys: vectorKeys,
    want: ['format ok', 'path FAIL', 'signature ok', 'key ok', 'charge FAIL'],
  },
  {
    name: 'a receipt that cannot be read can still be hashed',
    bundle: altered((receipt) => ({ ...receipt, extra: true })),
    keys: vectorKeys,
    want: ['format FAIL', 'path FAIL', 'signature ok', 'key --', 'charge --'],
  },
  {
    name: 'without a batch only the charge can be checked',
    bundle: { ...freshBundle(), batch: {} },
    keys: vectorKeys,
    want: ['format FAIL', 'path --', 'signature --', 'key --', 'charge ok'],
  },
  {
    name: 'without usable keys everything else is still checked',
    bundle: freshBundle(),
    keys: { keys: [] },
    want: ['format ok', 'path ok', 'signature --', 'key FAIL', 'charge ok'],
  },
  {
    name: 'nothing is reached in something that is not a bundle',
    bundle: 'receipt',
    keys: vectorKeys,
    want: ['format FAIL', 'path --', 'signature --', 'key --', 'charge --'],
  },
]) {
  test(name, async () => {
    const { ok, steps } = await verifyBundle(bundle, keys)
    assert.equal(ok, false)
    const seen = steps.map((step) => `${step.name} ${step.ok ? 'ok' : step.reached ? 'FAIL' : '--'}`)
    assert.deepEqual(seen, want)
    for (const step of steps) assert.equal(step.detail.startsWith('not reached: '), !step.reached)
  })
}

test('white space and the order of keys do not matter', async () => {
  const text = `\n${JSON.stringify({ batch: freshBundle().batch, receipt: freshBundle().receipt }, null, '\t')}\r\n`
  assert.ok((await verifyBundleText(text, vectorKeys)).ok)
  assert.ok((await verifyBundleText(canonicalJson(freshBundle()), vectorKeys)).ok)
})

test('a text beyond the limit is refused before it is read', async () => {
  const text = JSON.stringify(freshBundle()).padEnd(BUNDLE_CHARS_MAX + 1)
  const { steps } = await verifyBundleText(text, vectorKeys)
  assert.match(steps[0]?.detail ?? '', /longer than/)
})

test('no value whatsoever makes the verifier throw or say yes', async () => {
  const anything = fc.oneof(
    fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withSparseArray: true }),
    fc.jsonValue(),
    fc.record({ receipt: fc.jsonValue(), batch: fc.jsonValue() }),
  )
  await fc.assert(
    fc.asyncProperty(anything, anything, async (bundle, keys) => {
      assert.equal((await verifyBundle(bundle, keys)).ok, false)
      assert.equal((await verifyBundle(bundle, vectorKeys)).ok, false)
      assert.equal((await verifyBundle(freshBundle(), keys)).ok, false)
    }),
    { seed, numRuns: 400 },
  )
})

test('no text whatsoever makes the verifier throw or say yes', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom(...'{}[]",:\\01e.') }),
    fc.json(),
  )
  await fc.assert(
    fc.asyncProperty(text, async (given) => assert.equal((await verifyBundleText(given, vectorKeys)).ok, false)),
    { seed, numRuns: 400 },
  )
})

test('objects that fight back are refused without an exception', async () => {
  const trap = () => {
    throw trapped
  }
  const trapped: object = new Proxy({}, { getPrototypeOf: () => trap(), get: () => trap() })
  const hostile = new Proxy({}, { ownKeys: trap, get: trap, getPrototypeOf: trap })
  const circle: unknown[] = []
  circle.push(circle)
  for (const value of [
    hostile,
    circle,
    {
      get receipt() {
        return trap()
      },
      batch: {},
    },
  ]) {
    assert.equal((await verifyBundle(value, vectorKeys)).ok, false)
    assert.equal((await verifyBundle(freshBundle(), value)).ok, false)
  }
})

test('a bundle cannot change while it is checked', async () => {
  let reads = 0
  const { receipt, batch } = freshBundle()
  const shifty = {
    batch,
    get receipt() {
      reads += 1
      return reads === 1 ? receipt : { ...receipt, charged_nanousd: '0' }
    },
  }
  await verifyBundle(shifty, vectorKeys)
  assert.equal(reads, 1)
})

test('no random change of a good bundle is accepted, unless it changes nothing', async (t) => {
  const bundles = goodVectors.map((vector) => vector.bundle)
  let refused = 0
  let same = 0
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...bundles),
      fc.nat(),
      fc.oneof(fc.jsonValue(), fc.constantFrom(undefined, 'delete', 'insert', 'increment', 'swap')),
      async (bundle, place, change) => {
        const mutant = mutate(bundle, place, change)
        const unchanged = equalJson(mutant, bundle)
        const { ok } = await verifyBundle(mutant, vectorKeys)
        assert.equal(ok, unchanged, JSON.stringify(mutant))
        if (unchanged) same += 1
        else refused += 1
      },
    ),
    { seed, numRuns: 2000 },
  )
  t.diagnostic(`seed ${seed}: ${refused} mutants refused, ${same} were no change`)
  assert.ok(refused > 1500)
})

test('no change of a single character of a good bundle is accepted, unless it means the same', async (t) => {
  const text = JSON.stringify(freshBundle())
  const original: unknown = JSON.parse(text)
  let refused = 0
  let same = 0
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at)
    const other = String.fromCharCode(char.charCodeAt(0) ^ (1 + (at % 5)))
    for (const mutant of at % 4 === 0 ? [other, '', `${char}0`, ` ${char}`] : [other]) {
      const forged = text.slice(0, at) + mutant + text.slice(at + 1)
      const { ok } = await verifyBundleText(forged, vectorKeys)
      if (ok) {
        assert.deepEqual(JSON.parse(forged), original, `at ${at}: ${forged}`)
        same += 1
      } else {
        refused += 1
      }
    }
  }
  t.diagnostic(`${refused} texts refused, ${same} differ in white space only`)
  assert.ok(refused > 2500)
})

function altered(change: (receipt: Record<string, unknown>) => unknown): unknown {
  const bundle = freshBundle()
  return { ...bundle, receipt: change(bundle.receipt) }
}

/** Changes the member that `place` picks, anywhere in the tree. */
function mutate(bundle: object, place: number, change: unknown): unknown {
  const copy: unknown = structuredClone(bundle)
  const places = membersOf(copy)
  const { holder, key } = places[place % places.length] ?? { holder: {}, key: '' }
  const before: unknown = Reflect.get(holder, key)
  if (change === 'delete') Reflect.deleteProperty(holder, key)
  else if (change === 'insert') Reflect.set(holder, `${key}x`, before)
  else if (change === 'increment') Reflect.set(holder, key, typeof before === 'number' ? before + 1 : `${before}0`)
  else if (change === 'swap') Reflect.set(holder, key, Reflect.get(holder, Object.keys(holder)[0] ?? key))
  else Reflect.set(holder, key, change)
  return copy
}

function membersOf(value: unknown): { holder: object; key: string }[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, member]) => [{ holder: value, key }, ...membersOf(member)])
}

function equalJson(left: unknown, right: unknown): boolean {
  try {
    return canonicalJson(left) === canonicalJson(right)
  } catch {
    return false
  }
}
