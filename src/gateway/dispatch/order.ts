import type { Strategy } from '#domain/router/snapshot.ts'
import type { Candidate } from './candidate.ts'
import type { Inflight } from './inflight.ts'

/**
 * The candidates of one group in the order in which they are tried. Neighbours of one target are one upstream with its
 * credentials: the strategy orders upstreams, and inside of one the credentials keep their order unless their weights differ.
 * Returns `members` itself where there is nothing to move.
 */
export function orderGroup<C extends Candidate>(
  members: readonly C[],
  strategy: Strategy,
  { inflight, random }: { inflight: Pick<Inflight, 'count'>; random: () => number },
): readonly C[] {
  if (members.length < 2 || (strategy === 'ordered' && !anyWeighted(members))) return members
  const upstreams: C[][] = []
  for (const candidate of members) {
    const last = upstreams.at(-1)
    if (last?.[0]?.targetId === candidate.targetId) last.push(candidate)
    else upstreams.push([candidate])
  }
  return orderUpstreams(upstreams, strategy, inflight, random).flatMap((credentials) =>
    anyWeighted(credentials) ? drawAll(credentials, ({ credentialWeight }) => credentialWeight, random) : credentials,
  )
}

function orderUpstreams<C extends Candidate>(
  upstreams: C[][],
  strategy: Strategy,
  inflight: Pick<Inflight, 'count'>,
  random: () => number,
): C[][] {
  if (strategy === 'weighted') return drawAll(upstreams, ([first]) => first?.upstreamWeight ?? 0, random)
  if (strategy === 'ordered') return upstreams
  return upstreams
    .map((credentials) => ({ credentials, count: inflight.count(credentials[0]?.targetId ?? '') }))
    .sort((a, b) => a.count - b.count)
    .map(({ credentials }) => credentials)
}

/** Whether neighbours of one target have different weights. */
function anyWeighted(members: readonly Candidate[]): boolean {
  for (let index = 1; index < members.length; index += 1) {
    const [a, b] = [members[index - 1], members[index]]
    if (a?.targetId === b?.targetId && a?.credentialWeight !== b?.credentialWeight) return true
  }
  return false
}

/** Draws one after another without putting back, each with the chance of its share. What weighs nothing comes last, in order. */
function drawAll<T>(items: readonly T[], weightOf: (item: T) => number, random: () => number): T[] {
  const left = items.filter((item) => weightOf(item) > 0)
  const drawn: T[] = []
  while (left.length > 0) {
    let point = random() * left.reduce((sum, item) => sum + weightOf(item), 0)
    let index = 0
    // Rounding may leave the point behind the last one.
    while (index < left.length - 1) {
      point -= weightOf(left[index] as T)
      if (point < 0) break
      index += 1
    }
    drawn.push(...left.splice(index, 1))
  }
  return [...drawn, ...items.filter((item) => !(weightOf(item) > 0))]
}
