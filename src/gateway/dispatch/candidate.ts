import type { FallbackRule, Strategy } from '#domain/router/snapshot.ts'

/** One upstream under one credential that could serve a call, as far as choosing among them goes. */
export interface Candidate {
  /**
   * The upstream with the model that it is asked for, the same in every process and config: what a failure of the endpoint
   * is remembered by, and what maxConcurrency counts. A 404 opens it, so two models of one upstream are two targets.
   */
  targetId: string
  /** The credential, the same in every model that uses it: what a refused key is remembered by. */
  credentialId: string
  /** Index in the groups of the plan. */
  groupIndex: number
  /** Share among the upstreams of the group where its strategy is `weighted`. 0 comes after all others. */
  upstreamWeight: number
  /** Share among the credentials of the upstream where they are not all equal. 0 comes after all others. */
  credentialWeight: number
  /** Calls at once at this target, of this process; absent has no limit. */
  maxConcurrency?: number | undefined
  /** Whether it may serve this call, or why not. */
  eligible: true | { excluded: string }
}

/** What the plan needs to know of a group; a RoutedGroup is one. */
export interface CandidateGroup {
  strategy: Strategy
  /** To the next candidate of this group. */
  retryOn?: FallbackRule | undefined
  /** To the next group. */
  continueOn?: FallbackRule | undefined
}
