import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { LockfileError } from '../errors.ts'
import { createLockfile } from '../lockfile.ts'
import { resolveModel } from '../resolve.ts'
import { findLockfile } from './find-lockfile.ts'
import { loadLockfiles } from './load-lockfiles.ts'
import { loadLockfile, saveLockfile } from './lockfile-file.ts'
import { openFluxgate } from './open-fluxgate.ts'

let home = ''
before(async () => {
  home = await mkdtemp(join(tmpdir(), 'fluxgate-client-'))
})
after(() => rm(home, { recursive: true, force: true }))

async function put(path: string, text: string): Promise<string> {
  const file = join(home, path)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, text)
  return file
}

const bound = (alias: string, model: string, head = '') =>
  `${head}\n[profiles.default]\nname = "default"\n[[profiles.default.bindings]]\nalias = "${alias}"\nmodels = ["${model}"]\n`

describe('findLockfile', () => {
  test('the argument, the environment, the folder, in this order', async () => {
    const cwd = join(home, 'found')
    const paths = ['a.lock', 'b.lock', 'llmring.lock', 'llmring.lock.json'].map((name) => join(cwd, name))
    for (const name of ['a.lock', 'b.lock', 'llmring.lock', 'llmring.lock.json']) await put(join('found', name), '')
    const env = { LLMRING_LOCKFILE_PATH: 'b.lock' }
    assert.equal(findLockfile({ path: 'a.lock', env, cwd }), paths[0])
    assert.equal(findLockfile({ env, cwd }), paths[1])
    assert.equal(findLockfile({ env: { LLMRING_LOCKFILE_PATH: '' }, cwd }), paths[2])
    await rm(join(cwd, 'llmring.lock'))
    assert.equal(findLockfile({ cwd }), paths[3])
  })

  test('what is named must be there', () => {
    for (const options of [{ path: 'no.lock' }, { env: { LLMRING_LOCKFILE_PATH: 'no.lock' } }, {}]) {
      assert.throws(() => findLockfile({ ...options, cwd: home }), { name: 'LockfileError', code: 'lockfile_missing' })
    }
  })
})

describe('loadLockfiles', () => {
  test('packages come from the nearest node_modules that has them, files from beside the lockfile', async () => {
    const path = await put(
      'app/web/llmring.lock',
      bound(
        'fast',
        'a:1',
        '[extends]\npackages = ["lib-a", "lib.b"]\n[extends.files]\nshared = "../shared/llmring.lock.json"\n',
      ),
    )
    await put('app/web/node_modules/lib-a/llmring.lock', bound('x', 'a:near'))
    await put('app/node_modules/lib-a/llmring.lock', bound('x', 'a:far'))
    await put('node_modules/lib.b/llmring.lock', bound('x', 'b:up'))
    await put(
      'app/shared/llmring.lock.json',
      '{"profiles":{"default":{"name":"default","bindings":[{"alias":"x","models":["c:shared"]}]}}}',
    )
    await symlink(path, join(home, 'link.lock'))
    for (const from of [path, join(home, 'link.lock')]) {
      const set = await loadLockfiles(from)
      assert.deepEqual(
        ['fast', 'lib-a:x', 'lib.b:x', 'shared:x'].map((name) => resolveModel(set, name).pool[0]),
        ['a:1', 'a:near', 'b:up', 'c:shared'],
      )
    }
  })

  test('what cannot be had is kept as an error that names files', async () => {
    const path = await put(
      'broken/llmring.lock',
      bound(
        'fast',
        'a:1',
        '[extends]\npackages = ["absent", "torn"]\n[extends.files]\ngone = "gone.lock"\nself = "./llmring.lock"\nagain = "again.lock"\n',
      ),
    )
    const torn = await put('broken/node_modules/torn/llmring.lock', 'version = ')
    await symlink(path, join(home, 'broken/again.lock'))
    const set = await loadLockfiles(path)
    const codes = [...set.extended].map(([name, found]) => [
      name,
      found instanceof LockfileError ? found.code : 'loaded',
    ])
    assert.deepEqual(codes, [
      ['absent', 'extends_missing'],
      ['torn', 'lockfile_syntax'],
      ['gone', 'extends_missing'],
      ['self', 'extends_itself'],
      ['again', 'extends_itself'],
    ])
    assert.throws(
      () => resolveModel(set, 'torn:x'),
      (error) => error instanceof LockfileError && error.file === torn,
    )
    assert.throws(
      () => resolveModel(set, 'gone:x'),
      (error) => error instanceof LockfileError && error.message.includes(join(home, 'broken/gone.lock')),
    )
    assert.equal(resolveModel(set, 'fast').pool[0], 'a:1')
  })

  test('two that extend each other are no circle: only one step is taken', async () => {
    const one = await put('ring/one.lock', bound('x', 'a:one', '[extends.files]\ntwo = "two.lock"\n'))
    await put('ring/two.lock', bound('x', 'a:two', '[extends.files]\none = "one.lock"\n'))
    assert.equal(resolveModel(await loadLockfiles(one), 'two:x').pool[0], 'a:two')
  })

  test('a package name that could leave node_modules is refused before anything is opened', async () => {
    const path = await put('escape/llmring.lock', '[extends]\npackages = ["../../etc"]\n')
    await assert.rejects(loadLockfiles(path), { code: 'lockfile_invalid', message: /escape.*extends\.packages\[0\]/ })
  })
})

describe('loadLockfile and saveLockfile', () => {
  test('what is saved loads the same, and no draft is left', async () => {
    const lockfile = createLockfile(new Date('2026-01-01T00:00:00Z'))
    for (const name of ['saved.lock', 'saved.lock.json']) {
      const path = join(home, 'save', name)
      await mkdir(dirname(path), { recursive: true })
      await saveLockfile(path, lockfile)
      await saveLockfile(path, lockfile)
      assert.deepEqual(await loadLockfile(path), lockfile)
    }
    assert.deepEqual((await readdir(join(home, 'save'))).sort(), ['saved.lock', 'saved.lock.json'])
  })

  test('a new file never replaces one', async () => {
    const path = await put('kept.lock', 'kept')
    await assert.rejects(saveLockfile(path, createLockfile(new Date()), { isNew: true }), { code: 'lockfile_exists' })
    assert.equal(await readFile(path, 'utf8'), 'kept')
  })

  test('a link stays a link, and permissions stay', async () => {
    const path = await put('linked/real.lock', '')
    const link = join(home, 'linked/link.lock')
    await symlink(path, link)
    await chmod(path, 0o600)
    await saveLockfile(link, createLockfile(new Date()))
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.ok((await lstat(link)).isSymbolicLink())
    assert.ok((await stat(path)).size > 0)
  })

  test('an error names the file and every problem', async () => {
    const path = await put('wrong.lock', 'version = 1\n[extends]\npackages = "a"\n')
    await assert.rejects(loadLockfile(path), (error) => {
      assert.ok(error instanceof LockfileError)
      assert.deepEqual([error.file, error.problems.length, error.code], [path, 2, 'lockfile_invalid'])
      assert.ok(error.message.startsWith(`${path}: version must be a text`))
      return true
    })
  })

  test('refused: a folder, a pipe, what is too large, what is not UTF-8, what is not there', async () => {
    const pipe = join(home, 'pipe')
    execFileSync('mkfifo', [pipe])
    const large = await put('large.lock', '#'.repeat(3 * 1_048_576 + 1))
    const latin = join(home, 'latin.lock')
    await writeFile(latin, Buffer.from([0xe9, 0x0a]))
    for (const [path, code] of [
      [home, 'lockfile_unreadable'],
      [pipe, 'lockfile_unreadable'],
      [large, 'lockfile_too_large'],
      [latin, 'lockfile_syntax'],
      [join(home, 'absent.lock'), 'lockfile_missing'],
    ] as const) {
      await assert.rejects(loadLockfile(path), { name: 'LockfileError', code, file: path })
    }
  })
})

describe('openFluxgate', () => {
  test('takes lockfile, URL, key and profile from the environment it is given', async () => {
    await put('open/llmring.lock', bound('fast', 'openai:gpt-4o-mini'))
    const env = { LLMRING_SERVER_URL: 'http://127.0.0.1:1', FLUXGATE_API_KEY: 'k' }
    const fluxgate = await openFluxgate({ cwd: join(home, 'open'), env })
    assert.equal(fluxgate.target('fast').model, 'openai/gpt-4o-mini')
    const { client } = fluxgate.openai(
      class {
        settings: object
        constructor(settings: object) {
          this.settings = settings
        }
      },
      'fast',
    )
    assert.equal(Reflect.get(client.settings, 'baseURL'), 'http://127.0.0.1:1/v1')
    assert.equal(Reflect.get(client.settings, 'apiKey'), 'k')
  })

  test('says what is missing', async () => {
    const cwd = join(home, 'open')
    await assert.rejects(openFluxgate({ cwd, env: {} }), { name: 'TypeError', message: /FLUXGATE_URL/ })
    await assert.rejects(openFluxgate({ cwd, env: { FLUXGATE_URL: 'http://x' } }), { message: /FLUXGATE_API_KEY/ })
  })
})
