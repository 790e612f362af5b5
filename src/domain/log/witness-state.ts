import { decodeHash } from '#billing/tlog/checkpoint.ts'
import { isSize } from '#billing/tlog/tree-shape.ts'
import { readIfThere, writeDurably } from './durable-file.ts'

/** What a witness cosigned last of one log. `root` is Base64, `checkpoint` has the cosignature. */
export interface WitnessRecord {
  size: number
  root: string
  checkpoint: string
}

/**
 * What a witness remembers, in one file that is replaced as a whole. A file that cannot be read stops the start: a witness without its
 * memory would cosign a second history.
 */
export async function openWitnessState(path: string) {
  const records = parseRecords(await readIfThere(path), path)
  return {
    find: (origin: string): WitnessRecord | undefined => records.get(origin),

    /** Durable when this resolves. */
    async put(origin: string, record: WitnessRecord): Promise<void> {
      const next = new Map(records).set(origin, record)
      await writeDurably(path, `${JSON.stringify({ v: 1, logs: Object.fromEntries(next) }, undefined, 2)}\n`)
      records.set(origin, record)
    },
  }
}

export type WitnessState = Awaited<ReturnType<typeof openWitnessState>>

function parseRecords(text: string | undefined, path: string): Map<string, WitnessRecord> {
  if (text === undefined) return new Map()
  try {
    const { v, logs } = JSON.parse(text) as { v: unknown; logs: Record<string, WitnessRecord> }
    if (v !== 1) throw new Error('it is of another version')
    const records = new Map(Object.entries(logs))
    for (const { size, root, checkpoint } of records.values()) {
      decodeHash(root)
      if (!isSize(size) || typeof checkpoint !== 'string') throw new Error('a record is not whole')
    }
    return records
  } catch (cause) {
    throw new Error(
      `${path} is not the state of a witness: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        cause,
      },
    )
  }
}
