import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { bindAlias } from './bind.ts'
import { LockfileError, ResolutionError } from './errors.ts'
import { createLockfile, type Lockfile } from './lockfile.ts'
import { type LockfileSet, providersWithKeys, type ResolveOptions, resolveModel } from './resolve.ts'

const now = new Date('2026-01-01T00:00:00Z')

function lockfile(bindings: [profile: string, alias: string, models: string][], packages: string[] = []): Lockfile {
  const empty: Lockfile = { ...createLockfile(now), extends: { packages, files: { shared: 'shared.lock' }, rest: {} } }
  return bindings.reduce((made, [profile, alias, models]) => bindAlias(made, alias, models, { profile, now }), empty)
}

const library = {
  ...lockfile([
    ['prod', 'summarizer', 'openai:lib-prod'],
    ['staging', 'summarizer', 'openai:lib-own'],
  ]),
  defaultProfile: 'staging',
}
const set: LockfileSet = {
  lockfile: lockfile(
    [
      ['default', 'fast', 'openai:gpt-4o-mini,anthropic:claude-haiku-4-5,ollama:llama3'],
      ['default', 'local', 'google:gemini-2.5-pro'],
      ['prod', 'fast', 'anthropic:claude-opus-5'],
      ['prod', 'libB:summarizer', 'openai:override'],
      ['dev', 'elsewhere:x', 'openai:override-of-nothing'],
    ],
    ['libA', 'libB', 'broken'],
  ),
  extended: new Map<string, Lockfile | LockfileError>([
    ['libA', library],
    ['libB', library],
    ['broken', new LockfileError('extends_missing', 'package broken is not installed')],
  ]),
}

describe('resolveModel', () => {
  for (const { name, asked, options = {}, pool, profile = 'default', alias = asked, dropped = [] } of [
    {
      name: 'an alias of the default profile, in the order of the file',
      asked: 'fast',
      pool: ['openai:gpt-4o-mini', 'anthropic:claude-haiku-4-5', 'ollama:llama3'],
    },
    {
      name: 'the profile of the environment',
      asked: 'fast',
      options: { env: { LLMRING_PROFILE: 'prod' } },
      profile: 'prod',
      pool: ['anthropic:claude-opus-5'],
    },
    {
      name: 'the argument before the environment',
      asked: 'fast',
      options: { profile: 'default', env: { LLMRING_PROFILE: 'prod' } },
      pool: ['openai:gpt-4o-mini', 'anthropic:claude-haiku-4-5', 'ollama:llama3'],
    },
    {
      name: 'empty texts count as absent',
      asked: 'local',
      options: { profile: '', env: { LLMRING_PROFILE: '' } },
      pool: ['google:gemini-2.5-pro'],
    },
    {
      name: 'providers without key are dropped, ollama stays',
      asked: 'fast',
      options: { availableProviders: ['anthropic'] },
      pool: ['anthropic:claude-haiku-4-5', 'ollama:llama3'],
      dropped: ['openai:gpt-4o-mini'],
    },
    {
      name: 'a model of a known provider stands for itself',
      asked: 'openai:gpt-4o',
      alias: undefined,
      pool: ['openai:gpt-4o'],
    },
    { name: 'in any case of letters', asked: 'OpenAI:gpt-4o', alias: undefined, pool: ['OpenAI:gpt-4o'] },
    {
      name: 'with no key asked for',
      asked: 'openai:gpt-4o',
      options: { availableProviders: [] },
      alias: undefined,
      pool: ['openai:gpt-4o'],
    },
    { name: 'what is no namespace is a provider', asked: 'groq:llama-3.3', alias: undefined, pool: ['groq:llama-3.3'] },
    {
      name: 'an alias of a package in the profile asked for',
      asked: 'libA:summarizer',
      options: { profile: 'prod' },
      profile: 'prod',
      pool: ['openai:lib-prod'],
    },
    {
      name: "and in the package's default profile otherwise",
      asked: 'libA:summarizer',
      profile: 'staging',
      pool: ['openai:lib-own'],
    },
    {
      name: 'an override goes before the package',
      asked: 'libB:summarizer',
      options: { profile: 'prod' },
      profile: 'prod',
      pool: ['openai:override'],
    },
    {
      name: 'an override in another profile does not',
      asked: 'libB:summarizer',
      profile: 'staging',
      pool: ['openai:lib-own'],
    },
    {
      name: 'an override needs no package',
      asked: 'elsewhere:x',
      options: { profile: 'dev' },
      profile: 'dev',
      pool: ['openai:override-of-nothing'],
    },
  ] as {
    name: string
    asked: string
    options?: ResolveOptions
    pool: [string, ...string[]]
    profile?: string
    alias?: string
    dropped?: string[]
  }[]) {
    test(name, () => {
      const isDirect = pool[0] === asked
      assert.deepEqual(resolveModel(set, asked, options), {
        asked,
        ...(isDirect ? {} : { alias }),
        profile,
        pool,
        dropped,
      })
    })
  }

  for (const { name, asked, options = {}, code, message } of [
    {
      name: 'no fallback from prod to default',
      asked: 'local',
      options: { profile: 'prod' },
      code: 'alias_unknown',
      message: /not bound in profile "prod": it is bound in default/,
    },
    { name: 'an unknown alias', asked: 'slow', code: 'alias_unknown', message: /its aliases are fast, local/ },
    {
      name: 'an unknown profile',
      asked: 'fast',
      options: { profile: 'prd' },
      code: 'alias_unknown',
      message: /no such profile; there are default, prod, staging, dev/,
    },
    {
      name: 'a name of Object',
      asked: 'toString',
      options: { profile: 'constructor' },
      code: 'alias_unknown',
      message: /no such profile/,
    },
    { name: 'nothing', asked: '', code: 'alias_unknown', message: /alias ""/ },
    { name: 'nothing behind the colon', asked: 'libA:', code: 'alias_invalid', message: /one side of the colon/ },
    { name: 'nothing before it', asked: ':x', code: 'alias_invalid', message: /one side of the colon/ },
    {
      name: 'an alias that the package lacks',
      asked: 'libA:translator',
      code: 'alias_unknown',
      message: /"libA:translator".*its aliases are summarizer/,
    },
    {
      name: 'a lockfile that was not loaded',
      asked: 'shared:x',
      code: 'namespace_unknown',
      message: /of "shared" was not loaded/,
    },
    {
      name: 'no provider with a key',
      asked: 'local',
      options: { availableProviders: ['openai'] },
      code: 'providers_unavailable',
      message: /google:gemini-2.5-pro/,
    },
  ]) {
    test(`refused: ${name}`, () => {
      assert.throws(
        () => resolveModel(set, asked, options),
        (error) => {
          assert.ok(error instanceof ResolutionError)
          assert.deepEqual([error.code, error.asked], [code, asked])
          assert.match(error.message, message)
          return true
        },
      )
    })
  }

  test('a package that cannot be had matters only to those who need it', () => {
    assert.throws(() => resolveModel(set, 'broken:x'), { name: 'LockfileError', code: 'extends_missing' })
    assert.equal(resolveModel(set, 'fast').pool.length, 3)
  })

  test('for any keys: the pool keeps its order and with what was dropped is the binding', () => {
    const models = ['openai:gpt-4o-mini', 'anthropic:claude-haiku-4-5', 'ollama:llama3']
    fc.assert(
      fc.property(fc.subarray(['openai', 'anthropic', 'google']), (availableProviders) => {
        const { pool, dropped } = resolveModel(set, 'fast', { availableProviders })
        assert.deepEqual(
          models.filter((model) => pool.includes(model)),
          pool,
        )
        assert.deepEqual(
          models.filter((model) => !pool.includes(model)),
          dropped,
        )
        for (const model of pool) assert.ok(['ollama', ...availableProviders].includes(model.split(':')[0] ?? ''))
      }),
      { seed: 4, numRuns: 30 },
    )
  })
})

test('providersWithKeys reads what it is given', () => {
  assert.deepEqual(providersWithKeys({}), [])
  assert.deepEqual(providersWithKeys({ OPENAI_API_KEY: 'k', ANTHROPIC_API_KEY: '', GEMINI_API_KEY: 'k' }), [
    'openai',
    'google',
  ])
})
