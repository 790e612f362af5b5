import { readText } from '#lib/read-text.ts'
import type { Secret } from '#lib/secret.ts'
import { MailRefusedError, type MailTransport, type Sender } from './transport.ts'

const RESEND_URL = 'https://api.resend.com/emails'
const ANSWER_BYTES_MAX = 65_536

/** Mails through the HTTP API of Resend. Its answer is never repeated: it may hold the address. */
export function createResend(options: {
  apiKey: Secret
  from: Sender
  timeoutMs: number
  url?: string
}): MailTransport {
  const from = `"${options.from.name}" <${options.from.email}>`
  return {
    async deliver({ to, subject, text, html, id }) {
      let response: Response
      try {
        response = await fetch(options.url ?? RESEND_URL, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${options.apiKey.reveal()}`,
            'content-type': 'application/json',
            'idempotency-key': id,
          },
          body: JSON.stringify({ from, to: [to], subject, text, html }),
          redirect: 'error',
          signal: AbortSignal.timeout(options.timeoutMs),
        })
        // Read to its end, or the connection could not be used again.
        if (response.body !== null) await readText(response.body, ANSWER_BYTES_MAX)
      } catch (error) {
        throw new MailRefusedError('Resend did not answer', true, error)
      }
      if (response.ok) return
      throw new MailRefusedError(
        `Resend answered ${response.status}`,
        response.status === 429 || response.status >= 500 || response.status === 409,
      )
    },
    close: () => undefined,
  }
}
