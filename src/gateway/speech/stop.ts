import type { UpstreamFault } from '#gateway/upstream-fault.ts'

/** Why a call is ended from our side. */
export type StopReason = 'client_abort' | 'timeout_total' | 'shutting_down'

/** One word that ends whatever a call is waiting for. */
export function createStop() {
  const controller = new AbortController()
  let why: StopReason | undefined
  return {
    signal: controller.signal,
    why: () => why,
    /** The first reason counts. */
    stop(reason: StopReason): void {
      why ??= reason
      controller.abort(new Error(reason))
    },
  }
}

export function faultOfStop(why: StopReason): UpstreamFault {
  return { class: 'provider', code: why, timedOut: why === 'timeout_total' }
}
