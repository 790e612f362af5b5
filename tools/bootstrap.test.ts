import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const BOOTSTRAP = fileURLToPath(new URL('bootstrap.js', import.meta.url))

// Stands in for npm: notes what it was asked, and installs a Node and npm's own lock file.
const FAKE_NPM = `
  import { appendFileSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
  appendFileSync('asked.log', process.argv.slice(2, 4).join(' ') + '\\n')
  const mode = process.env.FAKE_NPM
  if (mode === 'broken') { console.error('npm error the network is away'); process.exit(7) }
  if (mode === 'refuses' && process.argv[2] === 'ci') { console.error('npm error code EUSAGE'); process.exit(1) }
  await new Promise((resolve) => setTimeout(resolve, Number(process.env.FAKE_NPM_MS ?? 0)))
  mkdirSync('node_modules/.bin', { recursive: true })
  mkdirSync('node_modules/node', { recursive: true })
  writeFileSync('node_modules/.bin/node', '')
  writeFileSync('node_modules/node/package.json', JSON.stringify({ version: mode === 'old' ? '20.1.0' : '26.1.0' }))
  copyFileSync('package-lock.json', 'node_modules/.package-lock.json')`

let home = ''

before(async () => {
  home = await mkdtemp(join(tmpdir(), 'fluxgate-bootstrap-'))
})

after(async () => {
  await rm(home, { recursive: true, force: true })
})

test('missing packages are installed once, and again when the lock changes', async () => {
  const project = await makeProject('once')
  assert.equal((await bootstrap(project)).code, 0)
  assert.deepEqual(await bootstrap(project), { code: 0, said: '' })
  assert.deepEqual(await asked(project), ['ci --no-audit'])
  await writeLock(project, '2.0.0')
  assert.match((await bootstrap(project)).said, /out of date/)
  assert.deepEqual(await asked(project), ['ci --no-audit', 'ci --no-audit'])
})

test('an install by hand is not repeated', async () => {
  const project = await makeProject('by-hand')
  await bootstrap(project)
  await rm(join(project, 'node_modules', '.fluxgate-install'))
  assert.deepEqual(await bootstrap(project), { code: 0, said: '' })
  assert.equal((await asked(project)).length, 1)
})

for (const { name, entry, installs } of [
  { name: 'of another system', entry: { optional: true, os: ['aix'], cpu: ['ppc64'] }, installs: false },
  { name: 'of this system', entry: { optional: true, os: [process.platform], cpu: [process.arch] }, installs: true },
  { name: 'that names no system', entry: { optional: true }, installs: false },
  { name: 'that is required', entry: {}, installs: true },
]) {
  test(`an absent package ${name} ${installs ? 'is installed' : 'is not missed'}`, async () => {
    const project = await makeProject(`absent ${name}`)
    await bootstrap(project)
    await rm(join(project, 'node_modules', '.fluxgate-install'))
    await writeLock(project, '1.0.0', { 'node_modules/b': { version: '1.0.0', ...entry } })
    await bootstrap(project)
    assert.equal((await asked(project)).length, installs ? 2 : 1)
  })
}

test('a lock that a strict install refuses is followed and not written', async () => {
  const project = await makeProject('refused')
  const lock = await readFile(join(project, 'package-lock.json'), 'utf8')
  assert.equal((await bootstrap(project, { FAKE_NPM: 'refuses' })).code, 0)
  assert.deepEqual(await asked(project), ['ci --no-audit', 'install --no-save'])
  assert.equal(await readFile(join(project, 'package-lock.json'), 'utf8'), lock)
})

test('what an interrupted install left is not built upon', async () => {
  const project = await makeProject('interrupted')
  await mkdir(join(project, 'node_modules', 'half'), { recursive: true })
  assert.equal((await bootstrap(project, { FAKE_NPM: 'refuses' })).code, 0)
  assert.ok(!existsSync(join(project, 'node_modules', 'half')))
})

test('a failed install says why, exits with its code and is tried again', async () => {
  const project = await makeProject('failed')
  const failed = await bootstrap(project, { FAKE_NPM: 'broken' })
  assert.equal(failed.code, 7)
  assert.match(failed.said, /the network is away[\s\S]*"npm ci" failed after \d+ s \(exit code 7\)/)
  assert.equal((await bootstrap(project)).code, 0)
})

test('two at once install once', async () => {
  const project = await makeProject('two')
  const both = await Promise.all([
    bootstrap(project, { FAKE_NPM_MS: '300' }),
    bootstrap(project, { FAKE_NPM_MS: '300' }),
  ])
  assert.deepEqual(
    both.map(({ code }) => code),
    [0, 0],
  )
  assert.equal((await asked(project)).length, 1)
})

test('a Node that is too old is named, with what to do', async () => {
  const project = await makeProject('old')
  const refused = await bootstrap(project, { FAKE_NPM: 'old' })
  assert.equal(refused.code, 1)
  assert.match(refused.said, /needs Node 24 or newer; node_modules\/\.bin\/node is 20\.1\.0\.\nRun "npm rebuild node/)
})

async function makeProject(name: string): Promise<string> {
  const project = join(home, name.replaceAll(' ', '-'))
  await mkdir(join(project, 'tools'), { recursive: true })
  await copyFile(BOOTSTRAP, join(project, 'tools', 'bootstrap.js'))
  await writeFile(join(project, 'npm-cli.js'), FAKE_NPM)
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'project', type: 'module' }))
  await writeLock(project, '1.0.0')
  return project
}

async function writeLock(project: string, version: string, more: Record<string, object> = {}): Promise<void> {
  const packages = { '': {}, 'node_modules/a': { version }, ...more }
  await writeFile(join(project, 'package-lock.json'), JSON.stringify({ packages }))
}

async function bootstrap(project: string, env: Record<string, string> = {}): Promise<{ code: number; said: string }> {
  const child = spawn(process.execPath, [join(project, 'tools', 'bootstrap.js')], {
    // Nothing of the outer npm: a test may only ever reach the fake one.
    env: { PATH: '', HOME: home, TMPDIR: home, npm_execpath: join(project, 'npm-cli.js'), ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (chunk) => {
    said += chunk
  })
  const [code] = await once(child, 'close')
  return { code, said }
}

async function asked(project: string): Promise<string[]> {
  return (await readFile(join(project, 'asked.log'), 'utf8')).trim().split('\n')
}
