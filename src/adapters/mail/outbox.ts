import type { MailTransport } from './transport.ts'

/** For a first try on one machine: mails are shown to whoever runs the gateway instead of being sent. */
export function createOutbox(show: (line: string) => void): MailTransport {
  return {
    async deliver({ to, subject, text }) {
      const link = /https?:\/\/\S+/.exec(text)?.[0]
      show(`Mail to ${to}, shown because no mail service is configured: ${subject}${link ? `. Open ${link}` : ''}`)
    },
    close: () => undefined,
  }
}
