#!/usr/bin/env node
import { runCli } from './run-cli.ts'

// Whoever reads our output may stop reading, as `head` does.
process.stdout.on('error', () => undefined)
process.exitCode = await runCli(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  env: process.env,
  cwd: process.cwd(),
  now: () => new Date(),
})
