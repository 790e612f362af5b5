import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { loadModelTraits, type ModelTraits } from '#domain/registry/model-traits.ts'

const bundled = fileURLToPath(new URL('../prices/model-traits.json', import.meta.url))

/** What is known of models beside their prices. */
export async function readModelTraits(): Promise<ModelTraits> {
  return loadModelTraits(await readFile(bundled, 'utf8'))
}
