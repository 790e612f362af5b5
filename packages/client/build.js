// Compiles src/ to dist/. The part that runs in browsers is checked first without the types of Node, so that none of it leans on Node.
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))

rmSync(new URL('dist', import.meta.url), { recursive: true, force: true })
for (const project of ['tsconfig.browser.json', 'tsconfig.build.json']) {
  const { status, error } = spawnSync('tsc', ['-p', project], { cwd: here, stdio: 'inherit' })
  if (error !== undefined) throw error
  if (status !== 0) process.exit(status ?? 1)
}
