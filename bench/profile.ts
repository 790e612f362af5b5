import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { renderTable } from './render-results.ts'

const USAGE = `usage: node bench/profile.ts FILE|FOLDER... [--top N]

Reads CPU profiles that a run with --profile wrote, and prints where each process spent its own time: by module, by file
and by function.
`

interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[]
  samples: number[]
  timeDeltas: number[]
}

process.exitCode = await main(process.argv.slice(2))

async function main(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { top: { type: 'string', default: '25' } },
  })
  const top = Number(values.top)
  if (positionals.length === 0 || !(top > 0)) {
    process.stderr.write(USAGE)
    return 2
  }
  for (const path of (await Promise.all(positionals.map(findProfiles))).flat()) {
    const profile = JSON.parse(await readFile(path, 'utf8')) as Profile
    process.stdout.write(`## ${path}\n\n${renderProfile(profile, top)}\n`)
  }
  return 0
}

async function findProfiles(path: string): Promise<string[]> {
  if (path.endsWith('.cpuprofile')) return [path]
  return (await readdir(path)).filter((name) => name.endsWith('.cpuprofile')).map((name) => join(path, name))
}

function renderProfile(profile: Profile, top: number): string {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]))
  const selfUs = new Map<Profile['nodes'][number]['callFrame'], number>()
  let busyUs = 0
  for (const [index, id] of profile.samples.entries()) {
    const frame = frames.get(id)
    // The time up to the next sample is spent where this one was.
    const us = profile.timeDeltas[index + 1] ?? 0
    if (frame === undefined || frame.functionName === '(idle)') continue
    busyUs += us
    selfUs.set(frame, (selfUs.get(frame) ?? 0) + us)
  }
  const by = (name: (frame: Profile['nodes'][number]['callFrame']) => string) => {
    const sums = new Map<string, number>()
    for (const [frame, us] of selfUs) sums.set(name(frame), (sums.get(name(frame)) ?? 0) + us)
    return [...sums].toSorted((a, b) => b[1] - a[1]).slice(0, top)
  }
  const table = (head: string, rows: readonly (readonly [string, number])[]) =>
    renderTable(
      [head, 'ms', '%'],
      rows.map(([name, us]) => [name, (us / 1000).toFixed(0), ((us * 100) / busyUs).toFixed(1)]),
    )
  return [
    `${(busyUs / 1000).toFixed(0)} ms on the processor.`,
    '',
    table('module', by(moduleOf)),
    '',
    table(
      'file',
      by(({ url, functionName }) => (url === '' ? functionName : shorten(url))),
    ),
    '',
    table(
      'function',
      by(({ functionName, url, lineNumber }) => `${functionName || '(anonymous)'} ${shorten(url)}:${lineNumber + 1}`),
    ),
    '',
  ].join('\n')
}

function moduleOf({ url, functionName }: { url: string; functionName: string }): string {
  if (url.startsWith('node:'))
    return url.startsWith('node:internal/deps') ? 'undici of node' : `node: ${url.split('/').at(-1)}`
  const dependency = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1]
  if (dependency !== undefined) return dependency
  const folder = /\/(src\/[\w-]+|bench)\//.exec(url)?.[1]
  if (folder !== undefined) return folder
  return url === '' ? (functionName.startsWith('(') ? functionName : 'native') : shorten(url)
}

function shorten(url: string): string {
  return url.replace(/^file:\/\/.*?\/(node_modules\/|src\/|bench\/)/, '$1')
}
