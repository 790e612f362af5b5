// What is published: built into a folder of its own, run on the Node at hand, without the repository's own tools.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const here = fileURLToPath(new URL('..', import.meta.url))
const bin = join(here, '../../node_modules/.bin')

let home = ''
before(async () => {
  home = await mkdtemp(join(tmpdir(), 'fluxgate-client-package-'))
  for (const name of ['package.json', 'README.md', 'LICENSE']) await cp(join(here, name), join(home, name))
  await symlink(join(here, '../../node_modules'), join(home, 'node_modules'))
  await run(join(bin, 'tsc'), ['-p', 'tsconfig.browser.json'], { cwd: here })
  await run(join(bin, 'tsc'), ['-p', 'tsconfig.build.json', '--outDir', join(home, 'dist')], { cwd: here })
})
after(() => rm(home, { recursive: true, force: true }))

test('the package holds what was built, its README and its license, and no test', async () => {
  const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: home })
  const packed: unknown = JSON.parse(stdout)
  const [entry] = Array.isArray(packed) ? packed : Object.values(packed as object)
  const paths = (entry as { files: { path: string }[] }).files.map(({ path }) => path)
  assert.deepEqual(paths.filter((path) => !path.startsWith('dist/')).sort(), ['LICENSE', 'README.md', 'package.json'])
  assert.deepEqual(
    paths.filter((path) => path.startsWith('dist/') && !/^dist\/[\w/-]+\.(js|d\.ts)$/.test(path)),
    [],
  )
  assert.ok(paths.length > 40)
})

test('every entry that package.json names is there and loads', async () => {
  const { exports, bin: commands } = JSON.parse(await readFile(join(home, 'package.json'), 'utf8'))
  for (const { types, default: script } of Object.values<{ types: string; default: string }>(exports)) {
    assert.match(await readFile(join(home, types), 'utf8'), /export/)
    const { stdout } = await run(process.execPath, [
      '-e',
      `import(${JSON.stringify(join(home, script))}).then((all) => console.log(Object.keys(all).length))`,
    ])
    assert.ok(Number(stdout) > 3)
  }
  const { stdout } = await run(process.execPath, [join(home, commands['fluxgate-client']), '--help'])
  assert.match(stdout, /^usage: fluxgate-client/)
  assert.match(await readFile(join(home, commands['fluxgate-client']), 'utf8'), /^#!\/usr\/bin\/env node\n/)
})

test('the license is that of the repository', async () => {
  assert.equal(await readFile(join(here, 'LICENSE'), 'utf8'), await readFile(join(here, '../../LICENSE'), 'utf8'))
})
