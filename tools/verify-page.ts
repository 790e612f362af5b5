import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { bundle } from './browser-bundle.ts'

const source = fileURLToPath(new URL('../src/', import.meta.url))
const read = (name: string) => readFileSync(new URL(`../src/verifier/${name}`, import.meta.url), 'utf8')

/** The page that verifies receipts, in one file: script, style and a policy that lets nothing else run or leave. */
export function buildVerifyPage(): string {
  const style = read('page-style.css').trim()
  // The script ends at the first `</script`, wherever it stands.
  const script = bundle(source, 'verifier/page-script.js').replaceAll('</', '<\\/')
  const policy = [
    "default-src 'none'",
    `script-src 'sha256-${digest(script)}'`,
    `style-src 'sha256-${digest(style)}'`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ')
  return read('page-template.html')
    .replace('POLICY', () => policy)
    .replace('STYLE', () => style)
    .replace('SCRIPT', () => script)
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64')
}
