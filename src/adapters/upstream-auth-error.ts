/**
 * Why a request could not be authenticated: `credential` where the credential itself is at fault and others may work,
 * `provider` where whoever gives out tokens is away. The message holds nothing of a credential.
 */
export class UpstreamAuthError extends Error {
  override readonly name = 'UpstreamAuthError'
  readonly fault: 'credential' | 'provider'
  readonly timedOut: boolean

  constructor(
    fault: 'credential' | 'provider',
    message: string,
    options: { timedOut?: boolean; cause?: unknown } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.fault = fault
    this.timedOut = options.timedOut ?? false
  }
}
