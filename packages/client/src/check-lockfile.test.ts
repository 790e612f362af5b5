import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkLockfile } from './check-lockfile.ts'
import { createLockfile, type Lockfile } from './lockfile.ts'

const good = createLockfile(new Date('2026-01-01T00:00:00Z'))

function withBinding(alias: string, models: string[], extended: Partial<Lockfile['extends']> = {}): Lockfile {
  const profile = {
    name: 'prod',
    bindings: [{ alias, models, constraints: null, rest: {} }],
    registryVersions: {},
    rest: {},
  }
  return { ...good, extends: { ...good.extends, ...extended }, profiles: { ...good.profiles, prod: profile } }
}

const { createdAt: _, ...undated } = good

for (const { name, lockfile, want } of [
  { name: 'a new one is good', lockfile: good, want: [] },
  { name: 'a pool is good', lockfile: withBinding('fast', ['openai:a', 'ollama:llama3:8b']), want: [] },
  {
    name: 'an override of what it extends',
    lockfile: withBinding('libA:x', ['openai:a'], { packages: ['libA'] }),
    want: [],
  },
  {
    name: 'an override of a file',
    lockfile: withBinding('lib:x', ['openai:a'], { files: { lib: 'x.lock' } }),
    want: [],
  },
  { name: 'another version', lockfile: { ...good, version: '2.0' }, want: ['warning version'] },
  { name: 'no times', lockfile: undated, want: ['warning created_at'] },
  {
    name: 'a default that is not there',
    lockfile: { ...good, defaultProfile: 'x' },
    want: ['warning default_profile'],
  },
  {
    name: 'a name that differs from its key',
    lockfile: { ...good, profiles: { default: { ...good.profiles.prod, name: 'prod' } } } as Lockfile,
    want: ['warning profiles.default.name'],
  },
  { name: 'a pool without models', lockfile: withBinding('a', []), want: ['error profiles.prod.bindings[0].models'] },
  {
    name: 'a model without provider',
    lockfile: withBinding('a', ['gpt-4o']),
    want: ['error profiles.prod.bindings[0].models[0]'],
  },
  {
    name: 'a provider without model',
    lockfile: withBinding('a', ['openai:']),
    want: ['error profiles.prod.bindings[0].models[0]'],
  },
  {
    name: 'two models in one entry',
    lockfile: withBinding('a', ['a:b,c:d']),
    want: ['error profiles.prod.bindings[0].models[0]'],
  },
  {
    name: 'white space about a model',
    lockfile: withBinding('a', [' a:b']),
    want: ['error profiles.prod.bindings[0].models[0]'],
  },
  {
    name: 'a model twice',
    lockfile: withBinding('a', ['a:b', 'a:b']),
    want: ['warning profiles.prod.bindings[0].models[1]'],
  },
  { name: 'an empty alias', lockfile: withBinding('', ['a:b']), want: ['error profiles.prod.bindings[0].alias'] },
  { name: 'an alias of 255 characters', lockfile: withBinding('🎧'.repeat(255), ['a:b']), want: [] },
  {
    name: 'an alias of 256',
    lockfile: withBinding('🎧'.repeat(256), ['a:b']),
    want: ['error profiles.prod.bindings[0].alias'],
  },
  {
    name: 'an alias that turns text',
    lockfile: withBinding('a\u202eb', ['a:b']),
    want: ['error profiles.prod.bindings[0].alias'],
  },
  {
    name: 'an alias with an open end',
    lockfile: withBinding('lib:', ['a:b']),
    want: ['error profiles.prod.bindings[0].alias'],
  },
  {
    name: 'an alias that is a model',
    lockfile: withBinding('OpenAI:x', ['a:b']),
    want: ['error profiles.prod.bindings[0].alias'],
  },
  {
    name: 'an override of nothing',
    lockfile: withBinding('lib:x', ['a:b']),
    want: ['warning profiles.prod.bindings[0].alias'],
  },
  {
    name: 'an alias twice',
    lockfile: {
      ...good,
      profiles: {
        default: {
          name: 'default',
          bindings: ['a', 'a'].map((alias) => ({ alias, models: ['a:b'], constraints: null, rest: {} })),
          registryVersions: { openai: 0 },
          rest: {},
        },
      },
    },
    want: ['error profiles.default.registry_versions.openai', 'error profiles.default.bindings[1].alias'],
  },
  {
    name: 'a package that leaves its folder',
    lockfile: { ...good, extends: { packages: ['../x'], files: {}, rest: {} } },
    want: ['error extends.packages[0]'],
  },
  {
    name: 'a package with a line break',
    lockfile: { ...good, extends: { packages: ['x\n'], files: {}, rest: {} } },
    want: ['error extends.packages[0]'],
  },
  {
    name: 'a package named like a provider',
    lockfile: { ...good, extends: { packages: ['openai'], files: {}, rest: {} } },
    want: ['error extends.packages[0]'],
  },
  {
    name: 'a namespace twice',
    lockfile: { ...good, extends: { packages: ['a'], files: { a: 'x' }, rest: {} } },
    want: ['error extends.files.a'],
  },
  {
    name: 'a file without path',
    lockfile: { ...good, extends: { packages: [], files: { a: '' }, rest: {} } },
    want: ['error extends.files.a'],
  },
]) {
  test(`checkLockfile: ${name}`, () => {
    assert.deepEqual(
      checkLockfile(lockfile).map(({ severity, at }) => `${severity} ${at}`),
      want,
    )
  })
}
