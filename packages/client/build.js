// Compiles src/ to dist/, together with the rules that the gateway and this package share. Those lie in the gateway's own tree: here they
// become dist/shared/, and every import of a file becomes a relative one, so that the package runs wherever its files are, also in a
// browser without a bundler. What runs in browsers is checked first without the types of Node, so that none of it leans on Node.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const repository = join(here, '../..')
const ours = 'packages/client/src'
const out = resolve(process.argv[2] ?? join(here, 'dist'))

compile('tsconfig.browser.json')
const stage = mkdtempSync(join(here, '.stage-'))
try {
  const staged = new Set()
  const open = ['index.ts', 'receipts.ts', 'node/index.ts', 'cli/main.ts'].map((entry) => `${ours}/${entry}`)
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (staged.has(file)) continue
    staged.add(file)
    open.push(...copy(file))
  }
  const files = [...staged].map(placeOf)
  const settings = { extends: '../tsconfig.build.json', compilerOptions: { rootDir: '.', outDir: out }, files }
  writeFileSync(join(stage, 'tsconfig.json'), JSON.stringify(settings))
  rmSync(out, { recursive: true, force: true })
  compile(stage)
} finally {
  rmSync(stage, { recursive: true, force: true })
}

/** @param {string} project */
function compile(project) {
  const { status, error } = spawnSync('tsc', ['-p', project], { cwd: here, stdio: 'inherit' })
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`tsc -p ${project} ended with ${status}`)
}

/**
 * Copies one source to its place in the package. Returns the sources that it imports; paths are relative to the repository.
 * @param {string} file
 */
function copy(file) {
  /** @type {string[]} */
  const imported = []
  const text = readFileSync(join(repository, file), 'utf8').replace(
    /^((?:import|export)\s(?:[^'"]*?\sfrom\s)?)'([.#][^']*)'/gm,
    (_all, head, specifier) => {
      const target = specifier.startsWith('#') ? `src/${specifier.slice(1)}` : join(dirname(file), specifier)
      imported.push(target)
      const path = relative(dirname(placeOf(file)), placeOf(target))
      return `${head}'${path.startsWith('.') ? path : `./${path}`}'`
    },
  )
  const path = join(stage, placeOf(file))
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  return imported
}

/** @param {string} file */
function placeOf(file) {
  return file.startsWith(`${ours}/`) ? relative(ours, file) : join('shared', relative('src', file))
}
