// Writes the generated files of src/billing/vectors. Run it after a change of the receipt format:
//   node tools/build-receipt-vectors.ts

import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { buildVectors } from '#test/receipt-vectors/build.ts'

const folder = new URL('../src/billing/vectors/', import.meta.url)
const files = buildVectors()

await mkdir(folder, { recursive: true })
for (const name of await readdir(folder)) {
  if (/\.(json|txt|tlog-proof)$/.test(name) && !files.has(name)) await rm(new URL(name, folder))
}
for (const [name, text] of files) await writeFile(new URL(name, folder), text)
process.stdout.write(`${files.size} files written\n`)
