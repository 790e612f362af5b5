import { createReadStream } from 'node:fs'
import { readText } from '#lib/read-text.ts'
import type { CliDeps } from './command.ts'

/** The text of a file, or of standard input for `-`. Throws Error that says what could not be read. */
export async function readInput(deps: Pick<CliDeps, 'stdin'>, path: string, bytesMax: number): Promise<string> {
  const name = path === '-' ? 'standard input' : path
  try {
    return await readText(path === '-' ? deps.stdin : createReadStream(path), bytesMax)
  } catch (error) {
    throw new Error(`cannot read ${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}
