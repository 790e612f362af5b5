const BYTES_MAX = 65_536
const DEPTH_MAX = 32

/** Why an object cannot be kept as metadata: too large, too deep, or text that others could not read back. */
export function metadataProblem(metadata: object): string | undefined {
  const problem = walk(metadata, 1)
  if (problem !== undefined) return problem
  if (Buffer.byteLength(JSON.stringify(metadata)) > BYTES_MAX)
    return `Input should have at most ${BYTES_MAX} bytes as JSON`
  return undefined
}

function walk(value: unknown, depth: number): string | undefined {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) return 'Text should not hold half of a surrogate pair'
    return value.includes('\0') ? 'Text should not hold NUL' : undefined
  }
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : 'Numbers should be finite'
  if (typeof value !== 'object' || value === null) return undefined
  if (depth > DEPTH_MAX) return `Input should not nest deeper than ${DEPTH_MAX}`
  for (const [name, member] of Object.entries(value)) {
    const problem = walk(name, depth) ?? walk(member, depth + 1)
    if (problem !== undefined) return problem
  }
  return undefined
}
