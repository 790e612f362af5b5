// Makes a fresh clone ready before npm's own scripts run: installs the packages when they are missing or out of date, and makes sure
// of the Node version. Plain JavaScript without packages, because the machine's Node may be old and nothing is installed yet.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  accessSync,
  constants,
  existsSync,
  linkSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const NODE_MAJOR_MIN = 24
const NEWS_MS = 5_000
const INTERRUPT_MS_MAX = 3_000
const OUTPUT_CHARS_MAX = 65_536
const OUTPUT_LINES_SHOWN = 30
const OTHER_INSTALL_MS_MAX = 600_000

/** @type {[NodeJS.Signals, number][]} */
const SIGNALS = [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
]

const root = fileURLToPath(new URL('..', import.meta.url))
const modules = join(root, 'node_modules')
const stamp = join(modules, '.fluxgate-install')

/** @type {number | undefined} The number of the signal that asked this process to end. */
let interrupted

await main()

async function main() {
  if (!isInstalled()) {
    await lockInstall()
    // Another process may have installed while this one waited for it.
    if (!isInstalled()) await install()
  }
  checkNode()
}

function isInstalled() {
  const wanted = fingerprint()
  if (readText(stamp) === wanted) return true
  if (!matchesHiddenLock()) return false
  writeFileSync(stamp, wanted)
  return true
}

function fingerprint() {
  const text = readText(join(root, 'package-lock.json')) ?? readText(join(root, 'package.json')) ?? ''
  return `${createHash('sha256').update(text).digest('hex')} ${process.platform}-${process.arch}\n`
}

// npm keeps what it really installed in a lock file of its own, so that an install by hand is not repeated here.
function matchesHiddenLock() {
  const wanted = parsePackages(join(root, 'package-lock.json'))
  const present = parsePackages(join(modules, '.package-lock.json'))
  if (wanted === undefined || present === undefined) return false
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '' || present[path]?.version === entry.version) return true
    return present[path] === undefined && entry.optional === true && !isMeantForHere(entry)
  })
}

/** @typedef {{ version?: string, optional?: boolean, os?: string[], cpu?: string[], libc?: string[] }} LockedPackage */

/**
 * Whether an optional package must be there. One that names no system, or a C library besides, may be absent for other reasons.
 * @param {LockedPackage} entry
 */
function isMeantForHere(entry) {
  if (entry.libc !== undefined) return false
  return entry.os?.includes(process.platform) === true && entry.cpu?.includes(process.arch) === true
}

/**
 * @param {string} path
 * @returns {Record<string, LockedPackage> | undefined}
 */
function parsePackages(path) {
  const text = readText(path)
  if (text === undefined) return undefined
  try {
    return JSON.parse(text).packages
  } catch {
    // A file that was cut off in the middle of an install.
    return undefined
  }
}

async function install() {
  const packages = parsePackages(join(root, 'package-lock.json'))
  const reason = existsSync(modules) ? 'the packages are out of date' : 'the packages are not installed yet'
  const count = packages === undefined ? 'the' : Object.keys(packages).length - 1
  say(`${reason}. Installing ${count} packages with npm; the first time this takes up to a minute or two.`)
  const startedAt = Date.now()
  const seconds = () => Math.round((Date.now() - startedAt) / 1000)
  const news = setInterval(() => say(`still installing, ${seconds()} s`), NEWS_MS)
  const flags = ['--no-audit', '--no-fund', '--include=dev', '--include=optional', ...cacheOption()]
  let command = packages === undefined ? 'install' : 'ci'
  let { code, output } = await runNpm([command, ...flags])
  // A strict install refuses a lock that lacks optional packages of other systems, which npm leaves out when its registry does not
  // have them. This one follows the lock as well, and does not write it.
  if (interrupted === undefined && code !== 0 && command === 'ci' && /\bEUSAGE\b/.test(output)) {
    say('"npm ci" refuses package-lock.json; installing what it lists with "npm install --no-save"')
    command = 'install --no-save'
    // As the strict one does: an install that was interrupted leaves packages of which a part is missing, and npm would keep them.
    rmSync(modules, { recursive: true, force: true })
    const second = await runNpm(['install', '--no-save', ...flags])
    code = second.code
    output = second.output
  }
  clearInterval(news)
  if (interrupted !== undefined) fail('interrupted; the next run installs again.', 128 + interrupted)
  if (code !== 0) failInstall({ command, code, output, seconds: seconds() })
  writeFileSync(stamp, fingerprint())
  say(`installed in ${seconds()} s.`)
}

/**
 * @param {{ command: string, code: number, output: string, seconds: number }} failed
 * @returns {never}
 */
function failInstall({ command, code, output, seconds }) {
  const lines = output.split('\n').filter((line) => !/^npm warn/i.test(line))
  process.stderr.write(`${lines.slice(0, OUTPUT_LINES_SHOWN).join('\n')}\n`)
  const owner = existsSync(modules) ? statSync(modules).uid : process.getuid?.()
  const hint =
    owner === process.getuid?.()
      ? 'npm says above why; without a network it needs every package in its cache.'
      : `${modules} belongs to user ${owner}: remove it, or run as that user.`
  fail(`"npm ${command}" failed after ${seconds} s (exit code ${code}). ${hint} Then run the same command again.`, code)
}

/**
 * @param {string[]} args
 * @returns {Promise<{ code: number, output: string }>}
 */
async function runNpm(args) {
  const [file, ...first] = npmCommand()
  // A group of its own, so that a signal also reaches the npm that an install script starts.
  const child = spawn(file, [...first, ...args], { cwd: root, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  /** @param {Buffer} chunk */
  const collect = (chunk) => {
    output = (output + chunk.toString('utf8')).slice(-OUTPUT_CHARS_MAX)
  }
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  for (const [name, number] of SIGNALS) {
    process.once(name, () => {
      interrupted = number
      signalGroup(child.pid, name)
      setTimeout(() => signalGroup(child.pid, 'SIGKILL'), INTERRUPT_MS_MAX).unref()
    })
  }
  return await new Promise((resolve) => {
    child.on('error', (error) => resolve({ code: 1, output: `${file}: ${error.message}` }))
    child.on('close', (code) => resolve({ code: code ?? 1, output }))
  })
}

/**
 * @param {number | undefined} leader
 * @param {NodeJS.Signals} name
 */
function signalGroup(leader, name) {
  if (leader === undefined) return
  try {
    process.kill(-leader, name)
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ESRCH') throw error
  }
}

/** @returns {[string, ...string[]]} */
function npmCommand() {
  const path = process.env.npm_execpath
  // Other package managers set the variable too, and install in other ways.
  if (path === undefined || !/^npm(-cli)?(\.c?js)?$/.test(basename(path)) || !existsSync(path)) return ['npm']
  if (!/\.c?js$/.test(path)) return [path]
  // The Node that npm itself runs on stays in place while node_modules, which may hold this one, is replaced.
  return [process.env.npm_node_execpath ?? process.execPath, path]
}

// Under sudo, or where npm runs a script as the owner of the folder, the home directory can be another user's.
function cacheOption() {
  const cache = process.env.npm_config_cache ?? join(homedir(), '.npm')
  let existing = cache
  while (!existsSync(existing) && existing !== dirname(existing)) existing = dirname(existing)
  try {
    accessSync(existing, constants.W_OK | constants.X_OK)
    return []
  } catch {
    const own = mkdtempSync(join(tmpdir(), 'fluxgate-npm-'))
    process.on('exit', () => rmSync(own, { recursive: true, force: true }))
    return [`--cache=${own}`]
  }
}

// Two installs into one folder would remove each other's files.
async function lockInstall() {
  const name = createHash('sha256').update(`${root} ${process.getuid?.()}`).digest('hex').slice(0, 16)
  const path = join(tmpdir(), `fluxgate-install-${name}.lock`)
  const own = `${path}.${process.pid}`
  const deadline = Date.now() + OTHER_INSTALL_MS_MAX
  let newsAt = 0
  writeFileSync(own, String(process.pid))
  // However this process ends, short of kill -9; after that its pid tells that the lock is stale.
  process.on('exit', () => rmSync(own, { force: true }))
  for (;;) {
    const holder = Number(takeLock(path, own))
    if (holder === process.pid) {
      process.on('exit', () => rmSync(path, { force: true }))
      return
    }
    if (Date.now() > deadline)
      fail(`process ${holder} has been installing for too long. If it is not, remove ${path}.`, 1)
    if (Date.now() > newsAt) {
      say(`waiting for process ${holder}, which installs the packages`)
      newsAt = Date.now() + NEWS_MS
    }
    await sleep(100)
  }
}

/**
 * Tries once. A link appears together with its content, so nobody ever reads a lock that does not name its holder yet.
 * @param {string} path
 * @param {string} own names this process
 * @returns {string} the pid of the holder
 */
function takeLock(path, own) {
  if (linkOnce(own, path)) return String(process.pid)
  const holder = readText(path)
  if (holder === undefined || isAlive(Number(holder))) return holder ?? ''
  // Whoever renames the stale lock owns it; if it was replaced meanwhile by a live one, that one goes back.
  const stale = `${own}.stale`
  try {
    renameSync(path, stale)
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error
    return ''
  }
  if (readText(stale) !== holder) linkOnce(stale, path)
  rmSync(stale, { force: true })
  return linkOnce(own, path) ? String(process.pid) : ''
}

/**
 * @param {string} from
 * @param {string} to
 */
function linkOnce(from, to) {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error
    return false
  }
}

/** @param {number} pid */
function isAlive(pid) {
  if (!(pid > 0)) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM'
  }
}

// The scripts after this one find node_modules/.bin first on their PATH, and the machine's own Node after it.
function checkNode() {
  const bundled = existsSync(join(modules, '.bin', 'node'))
  const version = bundled
    ? JSON.parse(readText(join(modules, 'node', 'package.json')) ?? '{}').version
    : process.versions.node
  if (Number.parseInt(version, 10) >= NODE_MAJOR_MIN) return
  const why = bundled
    ? `node_modules/.bin/node is ${version}`
    : `this is Node ${version}, and npm did not put a newer one into node_modules/.bin, which its install scripts do`
  fail(
    `Fluxgate needs Node ${NODE_MAJOR_MIN} or newer; ${why}.\n` +
      'Run "npm rebuild node --ignore-scripts=false", or use a newer Node, and then run the same command again.',
    1,
  )
}

/** @param {string} path */
function readText(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** @param {string} text */
function say(text) {
  process.stderr.write(`fluxgate: ${text}\n`)
}

/**
 * @param {string} text
 * @param {number} code
 * @returns {never}
 */
function fail(text, code) {
  say(text)
  process.exit(code)
}
