// Writes src/verifier/verify.html. Run it after a change of the verifier: node tools/build-verify-page.ts

import { writeFile } from 'node:fs/promises'
import { buildVerifyPage } from './verify-page.ts'

const text = buildVerifyPage()
await writeFile(new URL('../src/verifier/verify.html', import.meta.url), text)
process.stdout.write(`${text.length} characters written\n`)
