import { createTransport } from 'nodemailer'
import { isLoopback } from '#lib/loopback.ts'
import type { Secret } from '#lib/secret.ts'
import { MailRefusedError, type MailTransport, type Sender } from './transport.ts'

/**
 * Mails through an SMTP server: `smtp://` with STARTTLS where the server offers it, `smtps://` with TLS from the start. A
 * password leaves this machine only over TLS. `url` holds nothing else than user, password, host and port.
 */
export function createSmtp(options: { url: Secret; from: Sender; timeoutMs: number }): MailTransport {
  const url = new URL(options.url.reveal())
  const { timeoutMs } = options
  const user = decodeURIComponent(url.username)
  const transport = createTransport({
    host: url.hostname.replace(/^\[|\]$/g, ''),
    secure: url.protocol === 'smtps:',
    ...(url.port !== '' && { port: Number(url.port) }),
    ...(user !== '' && { auth: { user, pass: decodeURIComponent(url.password) } }),
    requireTLS: url.protocol === 'smtp:' && user !== '' && !isLoopback(url.hostname),
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    dnsTimeout: timeoutMs,
    maxResponseSize: 65_536,
    // Nothing of a mail may make the library read files or fetch addresses.
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  return {
    async deliver({ to, subject, text, html, id }) {
      const { name, email: address } = options.from
      try {
        await transport.sendMail({
          from: { name, address },
          to: { name: '', address: to },
          subject,
          text,
          html,
          messageId: `<${id}@${address.split('@').at(-1)}>`,
          signal: AbortSignal.timeout(timeoutMs),
        })
      } catch (error) {
        const code = (error as { responseCode?: unknown }).responseCode
        const isPermanent = typeof code === 'number' && code >= 500
        // The library's error repeats what the server said, which may name the address.
        throw new MailRefusedError(
          typeof code === 'number' ? `the SMTP server answered ${code}` : 'the SMTP server did not answer',
          !isPermanent,
        )
      }
    },
    close: () => transport.close(),
  }
}
