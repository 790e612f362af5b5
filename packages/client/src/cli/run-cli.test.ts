import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { runCli } from './run-cli.ts'

let home = ''
let cwd = ''
let count = 0
before(async () => {
  home = await mkdtemp(join(tmpdir(), 'fluxgate-client-cli-'))
})
beforeEach(async () => {
  count += 1
  cwd = join(home, String(count))
  await mkdir(cwd)
})
after(() => rm(home, { recursive: true, force: true }))

async function run(line: string, env: Record<string, string> = {}) {
  let out = ''
  let err = ''
  const code = await runCli(
    line.split(' ').filter((word) => word !== ''),
    {
      out: (text) => {
        out += text
      },
      err: (text) => {
        err += text
      },
      env,
      cwd,
      now: () => new Date('2026-01-01T00:00:00Z'),
    },
  )
  return { code, out, err }
}

test('a lockfile from nothing: init, bind, list, show, resolve, remove', async () => {
  assert.deepEqual(await run('lock init'), { code: 0, out: `wrote ${join(cwd, 'llmring.lock')}\n`, err: '' })
  assert.deepEqual(await run('bind fast openai:a,anthropic:b'), {
    code: 0,
    out: 'default: fast is openai:a, anthropic:b\n',
    err: '',
  })
  assert.equal((await run('bind fast anthropic:c --profile prod')).code, 0)
  assert.equal((await run('aliases')).out, 'fast: openai:a, anthropic:b\n')
  assert.equal((await run('aliases -p staging')).out, 'profile staging has no aliases\n')
  assert.equal((await run('alias fast')).out, 'default: openai:a, anthropic:b\nprod: anthropic:c\n')
  assert.equal((await run('resolve fast')).out, 'openai:a\nanthropic:b\n')
  assert.equal((await run('resolve fast', { LLMRING_PROFILE: 'prod' })).out, 'anthropic:c\n')
  assert.equal((await run('resolve openai:gpt-4o')).out, 'openai:gpt-4o\n')
  assert.equal((await run('alias fast --remove')).out, 'removed fast from profile default\n')
  const { code, err } = await run('resolve fast')
  assert.equal(code, 1)
  assert.match(err, /it is bound in prod/)
})

test('init does not replace a file unless forced, and writes JSON by suffix', async () => {
  await writeFile(join(cwd, 'llmring.lock'), 'mine')
  const refused = await run('lock init')
  assert.deepEqual([refused.code, refused.err], [1, `${join(cwd, 'llmring.lock')}: exists already\n`])
  assert.equal(await readFile(join(cwd, 'llmring.lock'), 'utf8'), 'mine')
  assert.equal((await run('lock init --force')).code, 0)
  assert.equal((await run('lock init --file other.lock.json')).code, 0)
  assert.equal(JSON.parse(await readFile(join(cwd, 'other.lock.json'), 'utf8')).version, '1.0')
})

test('--json is for scripts', async () => {
  await run('lock init')
  await run('bind fast openai:a')
  assert.deepEqual(JSON.parse((await run('aliases --json')).out), {
    profile: 'default',
    aliases: [{ alias: 'fast', models: ['openai:a'] }],
  })
  assert.deepEqual(JSON.parse((await run('alias fast --json')).out), [{ profile: 'default', models: ['openai:a'] }])
  assert.deepEqual(JSON.parse((await run('resolve fast --json')).out), {
    asked: 'fast',
    alias: 'fast',
    profile: 'default',
    pool: ['openai:a'],
    dropped: [],
  })
  const { digest, problems } = JSON.parse((await run('lock validate --json')).out)
  assert.match(digest, /^[0-9a-f]{64}$/)
  assert.deepEqual(problems, [])
})

test('validate lists every problem and fails on errors only', async () => {
  await run('lock init')
  const path = join(cwd, 'llmring.lock')
  const good = await readFile(path, 'utf8')
  await writeFile(path, good.replace('default_profile = "default"', 'default_profile = "other"'))
  const warned = await run('lock validate')
  assert.equal(warned.code, 0)
  assert.match(warned.out, /^warning: default_profile names a profile that is not there: other$/m)
  await writeFile(path, good.replace('[profiles.dev]\nname = "dev"', '[profiles.dev]\nname = 1'))
  for (const command of ['lock validate', 'lock check']) {
    const { code, out } = await run(command)
    assert.equal(code, 1)
    assert.match(out, /^error: profiles\.dev\.name must be a text, not an integer$/m)
  }
  await writeFile(path, 'version = ')
  const torn = await run('lock validate --json')
  assert.deepEqual([torn.code, JSON.parse(torn.out).problems[0].at], [1, 'lockfile_syntax'])
})

test('check opens what is extended', async () => {
  const path = join(cwd, 'llmring.lock')
  await run('lock init')
  const text = (await readFile(path, 'utf8')).replace('packages = []', 'packages = [ "lib", "absent",]')
  await writeFile(path, text)
  await mkdir(join(cwd, 'node_modules/lib'), { recursive: true })
  await run('lock init --file node_modules/lib/llmring.lock')
  await run('bind summarizer openai:a --file node_modules/lib/llmring.lock')
  const { code, out } = await run('lock check')
  assert.equal(code, 1)
  assert.match(out, /^extends lib \(.*\/node_modules\/lib\/llmring\.lock\): summarizer$/m)
  assert.match(out, /^error: extends absent .*package absent is not installed/m)
  assert.equal((await run('resolve lib:summarizer')).out, 'openai:a\n')
  await writeFile(path, text.replace(', "absent"', ''))
  assert.equal((await run('lock check')).code, 0)
})

test('check compares pins with registry files', async () => {
  const path = join(cwd, 'llmring.lock')
  await run('lock init')
  const text = await readFile(path, 'utf8')
  await writeFile(
    path,
    text.replace(
      '[profiles.default.registry_versions]\n',
      '[profiles.default.registry_versions]\nopenai = 7\ngoogle = 2\n',
    ),
  )
  const document = (version: number, price: number) =>
    JSON.stringify({ provider: 'openai', version, models: { 'openai:a': { dollars_per_million_tokens_input: price } } })
  await writeFile(join(cwd, '7.json'), document(7, 1))
  await writeFile(join(cwd, '8.json'), document(8, 2))
  const { code, out } = await run('lock check --registry 8.json --pinned-registry 7.json')
  assert.equal(code, 1)
  assert.match(
    out,
    /^openai: pinned to version 7, current is 8\n {2}openai:a dollars_per_million_tokens_input: 1 -> 2\nno registry file for google$/m,
  )
  const fresh = await run('lock check --registry 7.json')
  assert.equal(fresh.code, 0)
  assert.match(fresh.out, /^openai: version 7 is current$/m)
  await writeFile(join(cwd, 'bad.json'), '{}')
  const bad = await run('lock check --registry bad.json')
  assert.deepEqual([bad.code, bad.err], [2, `${join(cwd, 'bad.json')}: a registry document must name its provider\n`])
})

for (const [line, code, message] of [
  ['', 2, /^a command is missing\n\nusage: /],
  ['lock', 2, /^there is no command "lock"/],
  ['nonsense', 2, /^there is no command "nonsense"/],
  ['bind a', 2, /^bind takes 2 further words/],
  ['aliases a', 2, /^aliases takes no further words/],
  ['aliases --remove', 2, /^aliases takes no --remove/],
  ['aliases --colour', 2, /Unknown option '--colour'/],
  ['aliases', 1, /there is no lockfile here\nRun "fluxgate-client lock init"/],
  ['aliases --file no.lock', 1, /no\.lock: there is no lockfile here/],
] as const) {
  test(`exit code ${code}: ${line || '(nothing)'}`, async () => {
    const found = await run(line)
    assert.equal(found.code, code)
    assert.match(found.err, message)
    assert.equal(found.out, '')
  })
}

test('a model that is none is refused, and the file stays', async () => {
  await run('lock init')
  const before = await readFile(join(cwd, 'llmring.lock'), 'utf8')
  const { code, err } = await run('bind fast gpt-4o')
  assert.deepEqual([code, err], [1, 'models must read provider:model, not "gpt-4o"\n'])
  assert.equal((await run('alias fast --remove')).code, 1)
  assert.equal(await readFile(join(cwd, 'llmring.lock'), 'utf8'), before)
})

test('--help', async () => {
  const { code, out } = await run('--help')
  assert.equal(code, 0)
  assert.match(out, /^usage: fluxgate-client COMMAND/)
})
