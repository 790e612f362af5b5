import { readFileSync } from 'node:fs'

/** The page that verifies receipts in a browser, in one file. tools/build-verify-page.ts makes it from this folder. */
export function readVerifyPage(): string {
  return readFileSync(new URL('./verify.html', import.meta.url), 'utf8')
}
