#!/usr/bin/env node
// Starts src/main.ts on a Node that runs TypeScript. Plain JavaScript, because the Node on the PATH may be too old for that.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const NODE_MAJOR_MIN = 24

const root = fileURLToPath(new URL('..', import.meta.url))
const main = join(root, 'src', 'main.ts')
const require = createRequire(import.meta.url)

if (!isInstalled()) {
  process.stderr.write(`fluxgate: the packages are not installed. Run "npm install" in ${root} first.\n`)
  process.exit(1)
} else if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN) {
  process.argv[1] = main
  await import(pathToFileURL(main).href)
} else {
  const node = findNode()
  if (node === undefined) {
    process.stderr.write(
      `fluxgate: Node ${NODE_MAJOR_MIN} or newer is needed, and this is Node ${process.versions.node}. ` +
        `Run "npm install" in ${root}, which brings one along, or "npm rebuild node --ignore-scripts=false".\n`,
    )
    process.exit(1)
  }
  runOn(node)
}

function isInstalled() {
  try {
    require.resolve('pg')
    return true
  } catch {
    return false
  }
}

function findNode() {
  const candidates = [join(root, 'node_modules', '.bin', 'node')]
  try {
    candidates.push(join(dirname(require.resolve('node/package.json')), 'bin', 'node'))
  } catch {
    // Not installed where this package would find it.
  }
  return candidates.find((path) => existsSync(path))
}

/** @param {string} node */
function runOn(node) {
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: 'inherit' })
  /** @type {NodeJS.Signals[]} */
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2']
  for (const name of signals) {
    process.on(name, () => {
      // A terminal sends Ctrl-C to both; a second one would tell the child to hurry.
      if (name === 'SIGINT' && process.stdin.isTTY) return
      child.kill(name)
    })
  }
  child.on('error', (error) => {
    process.stderr.write(`fluxgate: ${node} could not be started: ${error.message}\n`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    // Whoever waits for this process sees the same end as if it had been the child.
    for (const name of signals) process.removeAllListeners(name)
    process.kill(process.pid, signal)
  })
}
