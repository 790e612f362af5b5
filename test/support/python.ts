import { spawnSync } from 'node:child_process'

/**
 * Why Python with the package that our second verifiers need is not here, for the option `skip` of a test; false when it is.
 * `minor` is the least version 3.x.
 */
export function whyNoPython(minor = 0): string | false {
  const code = `import sys, cryptography; sys.exit(0 if sys.version_info >= (3, ${minor}) else 'is older than 3.${minor}')`
  const { status, error, stderr } = spawnSync('python3', ['-c', code], { encoding: 'utf8', timeout: 30_000 })
  if (error !== undefined) return 'there is no python3'
  return status === 0 ? false : `python3 cannot be used: ${stderr.trim().split('\n').at(-1)}`
}
