#!/usr/bin/env node
import { once } from 'node:events'
import { runCli } from './run-cli.ts'

// Whoever reads our output may stop reading, as `head` does.
process.stdout.on('error', () => process.exit())
process.exitCode = await runCli(process.argv.slice(2), {
  async out(text) {
    if (!process.stdout.write(text)) await once(process.stdout, 'drain')
  },
  err: (text) => process.stderr.write(text),
  env: process.env,
  cwd: process.cwd(),
  now: () => new Date(),
})
