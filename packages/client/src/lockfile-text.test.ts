import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { LockfileError } from './errors.ts'
import { lockDigest } from './lock-digest.ts'
import type { LockTable, LockValue } from './lock-value.ts'
import { createLockfile, LOCKFILE_CHARS_MAX, type Lockfile } from './lockfile.ts'
import { type LockfileFormat, lockfileFormat, readLockfile, writeLockfile } from './lockfile-text.ts'

const fixture = (name: string) => readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8')
const TOML = fixture('reference.lock')
const JSON_TEXT = fixture('reference.lock.json')

describe("llmring's own files", () => {
  // The digest that llmring's code gave this file; both forms are byte for byte what it writes.
  const DIGEST = '2111acd720a179db3b311befa11481cce17374748375fd558e5213529291c76f'
  for (const [format, text] of [
    ['toml', TOML],
    ['json', JSON_TEXT],
  ] as const) {
    test(`${format}: read and written again, not a byte differs`, () => {
      assert.equal(writeLockfile(readLockfile(text, format), format), text)
    })
    test(`${format}: the digest is llmring's`, async () => {
      assert.equal(await lockDigest(readLockfile(text, format)), DIGEST)
    })
  }

  test('both forms hold the same', () => {
    assert.deepEqual(readLockfile(TOML, 'toml'), readLockfile(JSON_TEXT, 'json'))
  })

  test('a file by hand, with bare times, numbers of both kinds and other scripts, has the digest that llmring gives it', async () => {
    const rich = readLockfile(fixture('rich.lock'), 'toml')
    assert.equal(rich.createdAt, '2026-01-01T00:00:00+00:00')
    assert.equal(rich.metadata?.since, '2026-01-31T08:00:00Z')
    assert.equal(rich.metadata?.count, 9007199254740993n)
    assert.equal(rich.metadata?.budget, 1)
    assert.deepEqual(rich.profiles.default?.bindings[0]?.constraints, { max_tokens: 4096n, temperature: 1 })
    assert.equal(await lockDigest(rich), '198d0dd1f3cde0c3c93ead9a86264415c553f341c83141bb32760dd24a7b7492')
    for (const format of ['toml', 'json'] as const) {
      assert.deepEqual(readLockfile(writeLockfile(rich, format), format), rich)
    }
  })
})

test('what is absent gets the defaults, and no digest without times', async () => {
  const lockfile = readLockfile('[profiles.default]\nname = "default"\n', 'toml')
  assert.deepEqual(lockfile, {
    version: '1.0',
    defaultProfile: 'default',
    extends: { packages: [], files: {}, rest: {} },
    metadata: {},
    profiles: { default: { name: 'default', bindings: [], registryVersions: {}, rest: {} } },
    rest: {},
  })
  assert.equal(await lockDigest(lockfile), undefined)
})

test('a new lockfile has the four profiles of llmring', () => {
  const lockfile = createLockfile(new Date('2026-01-01T00:00:00Z'))
  assert.deepEqual(Object.keys(lockfile.profiles), ['default', 'prod', 'staging', 'dev'])
  assert.deepEqual(readLockfile(writeLockfile(lockfile, 'toml'), 'toml'), lockfile)
})

test('members that nobody knows are kept and do not count in the digest', async () => {
  const text = `${TOML.replace('[extends]\n', '[extends]\nnote = "n"\n').replace('alias = "fast"\n', 'alias = "fast"\nowner = "me"\n')}
[profiles.default.extra]
deep = [ 1, 2,]

[future]
shape = "unknown"
`
  const lockfile = readLockfile(text, 'toml')
  assert.deepEqual(lockfile.rest, { future: { shape: 'unknown' } })
  assert.deepEqual(lockfile.profiles.default?.rest, { extra: { deep: [1n, 2n] } })
  assert.deepEqual(lockfile.profiles.default?.bindings[0]?.rest, { owner: 'me' })
  assert.equal(await lockDigest(lockfile), await lockDigest(readLockfile(TOML, 'toml')))
  for (const format of ['toml', 'json'] as const) {
    assert.deepEqual(readLockfile(writeLockfile(lockfile, format), format), lockfile)
  }
})

test('names of every object are names like others', async () => {
  const text =
    '{"profiles":{"__proto__":{"name":"__proto__"},"constructor":{"name":"constructor"}},"metadata":{"__proto__":1}}'
  const lockfile = readLockfile(text, 'json')
  assert.deepEqual(Object.keys(lockfile.profiles), ['__proto__', 'constructor'])
  assert.equal(Object.getPrototypeOf(lockfile.metadata), Object.prototype)
  assert.deepEqual(readLockfile(writeLockfile(lockfile, 'toml'), 'toml'), lockfile)
})

test('a byte order mark is no part of the text', () => {
  assert.deepEqual(readLockfile(`\ufeff${JSON_TEXT}`, 'json'), readLockfile(JSON_TEXT, 'json'))
})

test('null is refused for TOML, which does not have it, instead of being lost', () => {
  const lockfile = readLockfile('{"metadata":{"a":{"b":null}}}', 'json')
  assert.throws(() => writeLockfile(lockfile, 'toml'), { code: 'lockfile_invalid', message: /^metadata\.a\.b is null/ })
  assert.deepEqual(readLockfile(writeLockfile(lockfile, 'json'), 'json'), lockfile)
})

for (const [name, format, text, code, at] of [
  ['broken TOML', 'toml', 'version = ', 'lockfile_syntax', undefined],
  ['broken JSON', 'json', '{"version":', 'lockfile_syntax', undefined],
  ['a list', 'json', '[]', 'lockfile_invalid', 'the file'],
  ['a version that is a number', 'toml', 'version = 1.0', 'lockfile_invalid', 'version'],
  ['a time that is none', 'toml', 'created_at = "soon"', 'lockfile_invalid', 'created_at'],
  ['a profile that is a text', 'json', '{"profiles":{"prod":"x"}}', 'lockfile_invalid', 'profiles.prod'],
  ['a profile without a name', 'json', '{"profiles":{"prod":{}}}', 'lockfile_invalid', 'profiles.prod.name'],
  [
    'a binding without models',
    'json',
    '{"profiles":{"p":{"name":"p","bindings":[{"alias":"a"}]}}}',
    'lockfile_invalid',
    'profiles.p.bindings[0].models',
  ],
  [
    'models in one text',
    'json',
    '{"profiles":{"p":{"name":"p","bindings":[{"alias":"a","models":"openai:x"}]}}}',
    'lockfile_invalid',
    'profiles.p.bindings[0].models',
  ],
  [
    'a pin that is a float',
    'json',
    '{"profiles":{"p":{"name":"p","registry_versions":{"openai":1.0}}}}',
    'lockfile_invalid',
    'profiles.p.registry_versions.openai',
  ],
  ['packages that are a text', 'toml', '[extends]\npackages = "a"', 'lockfile_invalid', 'extends.packages'],
  [
    'too many packages',
    'json',
    `{"extends":{"packages":${JSON.stringify(Array(65).fill('a'))}}}`,
    'lockfile_invalid',
    'extends.packages',
  ],
  ['infinity', 'toml', '[metadata]\na = inf', 'lockfile_invalid', 'metadata.a'],
  ['half a surrogate pair', 'json', '{"metadata":{"a":"\\ud800"}}', 'lockfile_invalid', 'metadata.a'],
  ['a tower', 'json', `{"metadata":{"a":${'['.repeat(100)}${']'.repeat(100)}}}`, 'lockfile_invalid', undefined],
  [
    'a tower that no stack holds',
    'json',
    `{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`,
    'lockfile_syntax',
    undefined,
  ],
  ['a tower of TOML', 'toml', `a = ${'['.repeat(200_000)}${']'.repeat(200_000)}`, 'lockfile_syntax', undefined],
  ['too long a text', 'toml', ' '.repeat(LOCKFILE_CHARS_MAX + 1), 'lockfile_too_large', undefined],
] as const) {
  test(`refused: ${name}`, () => {
    assert.throws(
      () => readLockfile(text, format),
      (error) => {
        assert.ok(error instanceof LockfileError)
        assert.equal(error.code, code)
        if (at !== undefined)
          assert.deepEqual(
            error.problems.map((problem) => problem.at),
            [at],
          )
        return true
      },
    )
  })
}

test('all mistakes are told at once', () => {
  const text = '{"version":1,"profiles":{"p":{"bindings":[{"alias":2,"models":[3]}]}}}'
  assert.throws(
    () => readLockfile(text, 'json'),
    (error) => {
      assert.ok(error instanceof LockfileError)
      assert.deepEqual(
        error.problems.map(({ at }) => at),
        ['version', 'profiles.p.name', 'profiles.p.bindings[0].alias', 'profiles.p.bindings[0].models[0]'],
      )
      assert.match(error.message, /^version must be a text, not an integer \(and 3 more\)$/)
      return true
    },
  )
})

test('the suffix decides the form', () => {
  assert.equal(lockfileFormat('a/llmring.lock.json'), 'json')
  assert.equal(lockfileFormat('a/llmring.lock'), 'toml')
  assert.equal(lockfileFormat('a/llmring.toml'), 'toml')
})

describe('properties', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 12 })
  const name = fc.oneof(text, fc.constantFrom('default', 'prod', '__proto__', 'a.b', 'with "quotes"', ''))
  const scalar = fc.oneof(
    text,
    fc.boolean(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
  )
  const { value } = fc.letrec<{ value: LockValue; table: LockTable }>((tie) => ({
    value: fc.oneof({ depthSize: 'small' }, scalar, fc.array(tie('value'), { maxLength: 3 }), tie('table')),
    table: fc.dictionary(name, tie('value'), { maxKeys: 3, noNullPrototype: true }),
  }))
  const table = fc.dictionary(name, value, { maxKeys: 3, noNullPrototype: true })
  // A member that is known is not among those that are not.
  const rest = fc.dictionary(
    text.map((key) => `x-${key}`),
    value,
    { maxKeys: 2, noNullPrototype: true },
  )
  const time = fc
    .date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true })
    .map((date) => createLockfile(date).createdAt ?? '')
  const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record<T>(model, { noNullPrototype: true })
  const binding = record({
    alias: text,
    models: fc.array(text, { maxLength: 4 }),
    constraints: fc.option(table),
    rest,
  })
  const profile = record({
    name: text,
    bindings: fc.array(binding, { maxLength: 3 }),
    registryVersions: fc.dictionary(name, fc.maxSafeInteger(), { maxKeys: 3, noNullPrototype: true }),
    rest,
  })
  const lockfiles: fc.Arbitrary<Lockfile> = record({
    version: text,
    createdAt: time,
    updatedAt: time,
    defaultProfile: text,
    extends: record({
      packages: fc.array(text, { maxLength: 3 }),
      files: fc.dictionary(name, text, { maxKeys: 2, noNullPrototype: true }),
      rest,
    }),
    metadata: table,
    profiles: fc.dictionary(name, profile, { maxKeys: 3, noNullPrototype: true }),
    rest,
  })

  for (const format of ['toml', 'json'] as const) {
    test(`${format}: what is written reads back the same`, () => {
      fc.assert(
        fc.property(lockfiles, (lockfile) => {
          assert.deepEqual(readLockfile(writeLockfile(lockfile, format), format), lockfile)
        }),
        { seed: 4, numRuns: 300 },
      )
    })
  }

  test('the digest is the same for every way to write the same, and another for every change', async () => {
    await fc.assert(
      fc.asyncProperty(lockfiles, async (lockfile) => {
        const digest = await lockDigest(lockfile)
        const forms: [string, LockfileFormat][] = [
          [writeLockfile(lockfile, 'toml'), 'toml'],
          [`# a comment\n\n${writeLockfile(lockfile, 'toml').replaceAll('\n', '\n\n')}`, 'toml'],
          [writeLockfile(lockfile, 'json'), 'json'],
          [withoutMargins(writeLockfile(lockfile, 'json')), 'json'],
        ]
        for (const [form, format] of forms) assert.equal(await lockDigest(readLockfile(form, format)), digest)
        assert.notEqual(await lockDigest({ ...lockfile, version: `${lockfile.version}+` }), digest)
        assert.notEqual(await lockDigest({ ...lockfile, metadata: { ...lockfile.metadata, 'one more': 1n } }), digest)
      }),
      { seed: 4, numRuns: 150 },
    )
  })
})

/** Texts hold no line breaks in JSON, so these are the layout's own. */
function withoutMargins(json: string): string {
  return json.replace(/\n */g, '')
}
