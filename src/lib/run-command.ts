import { spawn } from 'node:child_process'

const OUTPUT_CHARS_MAX = 16_384

export interface CommandResult {
  /** The exit code; null when a signal ended the command. */
  code: number | null
  /** The last part of what it printed, standard output and errors together. */
  output: string
}

/** Runs a program to its end with exactly this environment. Throws when it cannot be started or takes longer than `timeoutMs`. */
export async function runCommand(
  file: string,
  args: string[],
  options: {
    env: Record<string, string>
    cwd: string
    timeoutMs: number
    uid?: number
    gid?: number
    input?: string
  },
): Promise<CommandResult> {
  const { input, timeoutMs, ...spawnOptions } = options
  return await new Promise((resolve, reject) => {
    const child = spawn(file, args, { ...spawnOptions, stdio: ['pipe', 'pipe', 'pipe'] })
    let output = ''
    const collect = (chunk: Buffer) => {
      output = (output + chunk.toString('utf8')).slice(-OUTPUT_CHARS_MAX)
    }
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      child.kill('SIGKILL')
    }, timeoutMs)
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    // A program that ends without reading its input breaks the pipe; its exit code tells what matters.
    child.stdin.on('error', () => {})
    child.stdin.end(input ?? '')
    child.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.on('close', (code) => {
      clearTimeout(timer)
      if (timedOut) reject(new Error(`${file} did not end within ${timeoutMs} ms:\n${output}`))
      else resolve({ code, output })
    })
  })
}
