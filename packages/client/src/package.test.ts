// What is published: packed, unpacked into an empty project beside its one dependency, and used from there on the Node at hand.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** A package that somebody puts into a page, too: it stays small. */
const TARBALL_BYTES_MAX = 110_000

const execute = promisify(execFile)
const here = fileURLToPath(new URL('..', import.meta.url))
const root = join(here, '../..')
const env = { ...process.env, PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH}` }
const vectors = join(root, 'src/billing/vectors')

let home = ''
let installed = ''
let packed: { size: number; files: { path: string }[]; filename: string }

before(async () => {
  home = await mkdtemp(join(tmpdir(), 'fluxgate-client-package-'))
  const source = join(home, 'source')
  await mkdir(source)
  for (const name of ['package.json', 'README.md', 'LICENSE']) await cp(join(here, name), join(source, name))
  await execute(process.execPath, [join(here, 'build.js'), join(source, 'dist')], { env })
  const { stdout } = await execute('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', home], {
    cwd: source,
    env,
  })
  const parsed: unknown = JSON.parse(stdout)
  packed = (Array.isArray(parsed) ? parsed : Object.values(parsed as object))[0]
  installed = join(home, 'project/node_modules/@fluxgate/client')
  await mkdir(installed, { recursive: true })
  await execute('tar', ['-xzf', join(home, packed.filename), '-C', installed, '--strip-components=1'])
  const parser = dirname(dirname(createRequire(join(here, 'package.json')).resolve('smol-toml')))
  await cp(parser, join(home, 'project/node_modules/smol-toml'), { recursive: true, dereference: true })
  await writeFile(join(home, 'project/package.json'), '{"type":"module"}')
})
after(() => rm(home, { recursive: true, force: true }))

async function runInProject(code: string): Promise<string> {
  const file = join(home, 'project/script.js')
  await writeFile(file, code)
  return (await execute(process.execPath, [file], { cwd: join(home, 'project'), env: { PATH: env.PATH } })).stdout
}

test('the package holds what was built, its README and its license, and no test', () => {
  const paths = packed.files.map(({ path }) => path)
  assert.deepEqual(paths.filter((path) => !path.startsWith('dist/')).sort(), ['LICENSE', 'README.md', 'package.json'])
  assert.deepEqual(
    paths.filter((path) => path.startsWith('dist/') && !/^dist\/[\w/-]+\.(js|d\.ts)$/.test(path)),
    [],
  )
  assert.ok(paths.length > 80)
})

test('of the gateway it holds the rules of usage, price and receipt, and nothing else', () => {
  const shared = packed.files
    .map(({ path }) => /^dist\/shared\/(.*)\.js$/.exec(path)?.[1])
    .filter((name) => name !== undefined)
  const folders = new Set(shared.map((name) => dirname(name)))
  assert.deepEqual([...folders].sort(), ['billing', 'lib', 'wire'])
  assert.deepEqual(
    shared.filter((name) => name.startsWith('wire/') && !/-usage$|json-values$|neutral$/.test(name)),
    [],
  )
})

test(`the tarball has at most ${TARBALL_BYTES_MAX} bytes`, () =>
  assert.ok(packed.size <= TARBALL_BYTES_MAX, `${packed.size}`))

test('every entry that package.json names is there and loads', async () => {
  const { exports, bin: commands } = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'))
  for (const [entry, { types }] of Object.entries<{ types: string }>(exports)) {
    assert.match(await readFile(join(installed, types), 'utf8'), /export/)
    const out = await runInProject(`console.log(Object.keys(await import('@fluxgate/client${entry.slice(1)}')).length)`)
    assert.ok(Number(out) > 3)
  }
  const command = join(installed, commands['fluxgate-client'])
  assert.match((await execute(process.execPath, [command, '--help'])).stdout, /^usage: fluxgate-client/)
  assert.match(await readFile(command, 'utf8'), /^#!\/usr\/bin\/env node\n/)
})

test('installed, it verifies receipts and counts costs', async () => {
  const out = await runInProject(`
    import { readFileSync } from 'node:fs'
    import { costOf, priceOf, verifyReceipt } from '@fluxgate/client'
    const read = (file) => readFileSync(${JSON.stringify(`${vectors}/`)} + file, 'utf8')
    const keys = JSON.parse(read('keys.json'))
    for (const file of ['good-all-fields.json', 'broken-charge-one-more.json'])
      console.log((await verifyReceipt(read(file), keys)).ok)
    const price = priceOf({ dollars_per_million_tokens_input: 0.15, dollars_per_million_tokens_output: 0.6 })
    console.log(costOf({ input: 1000, output: 200 }, price).nanousd)
  `)
  assert.equal(out, 'true\nfalse\n270000n\n')
})

test('its types are found by a project of its own, as strict as it may be', async () => {
  const project = join(home, 'project')
  await writeFile(
    join(project, 'typed.ts'),
    `import { costOf, type Cost, FluxgateError, type Receipt, verifyReceipt } from '@fluxgate/client'
     import { openFluxgate } from '@fluxgate/client/node'
     import { fetchReceiptKeys, type ReceiptKeys } from '@fluxgate/client/receipts'
     export const cost: Cost = costOf({ input: 1 }, undefined)
     export const keys: Promise<ReceiptKeys> = fetchReceiptKeys('https://gateway.example')
     export const ok: Promise<boolean> = verifyReceipt('{}', await keys).then((verification) => verification.ok)
     export const seq = (receipt: Receipt): number => receipt.seq
     export const opened: typeof openFluxgate = openFluxgate
     export const code = (error: FluxgateError): string => error.code
     // @ts-expect-error: a kind that does not exist
     costOf({ tokens: 1 }, undefined)
    `,
  )
  await symlink(join(root, 'node_modules/@types'), join(project, 'node_modules/@types'))
  await writeFile(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        target: 'esnext',
        module: 'nodenext',
        lib: ['esnext', 'dom'],
        types: ['node'],
      },
      files: ['typed.ts'],
    }),
  )
  await execute(join(root, 'node_modules/.bin/tsc'), ['-p', project], { env }).catch((error) =>
    assert.fail(error.stdout),
  )
})

test('the license is that of the repository', async () => {
  assert.equal(await readFile(join(here, 'LICENSE'), 'utf8'), await readFile(join(root, 'LICENSE'), 'utf8'))
})
