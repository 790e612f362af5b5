/** A finished mail. The subject has no line break; `to` is one address, as isMailAddress knows them. */
export interface Mail {
  to: string
  subject: string
  text: string
  html: string
  /** The same for every try at one mail, so that a service that knows it delivers once. */
  id: string
}

/** Hands mails on to whoever delivers them. */
export interface MailTransport {
  /** Resolves once the mail is taken over. Rejects within a bounded time, with a reason without its content. */
  deliver(mail: Mail): Promise<void>
  close(): void
}

/** Why a mail was not taken over. `temporary`: the same mail may be taken in a moment. */
export class MailRefusedError extends Error {
  override readonly name = 'MailRefusedError'
  readonly temporary: boolean

  constructor(message: string, temporary: boolean, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.temporary = temporary
  }
}

/** Who mails are from. The name has no control characters and no quotes: mail-settings.ts checks it. */
export interface Sender {
  name: string
  email: string
}
