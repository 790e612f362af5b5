import { isMailAddress } from '#lib/mail-address.ts'
import type { Secret } from '#lib/secret.ts'
import { oneOf, optional, type Setting, secret } from '#lib/settings.ts'

/** Who sends mails, and through whom. */
export const mailSettings = {
  RESEND_API_KEY: secret('Sends mails through Resend: docs/mail.md.'),
  RESEND_FROM_EMAIL: optional({
    description: 'Address that mails are from, with Resend and with SMTP alike. Required with either.',
    parse(value) {
      if (!isMailAddress(value)) throw new Error('one e-mail address')
      return value
    },
  }),
  RESEND_FROM_NAME: senderName(),
  SMTP_URL: smtpUrl(),
  MAIL_OUTBOX: oneOf(
    'Shows mails in the log while neither Resend nor SMTP is configured: `auto` with the embedded database only, since links in mails open accounts.',
    'auto',
    ['auto', 'on', 'off'],
  ),
}

/** What is wrong with them together. */
export function mailProblems(values: {
  RESEND_API_KEY: Secret | undefined
  SMTP_URL: Secret | undefined
  RESEND_FROM_EMAIL: string | undefined
}): string[] {
  const { RESEND_API_KEY: resend, SMTP_URL: smtp, RESEND_FROM_EMAIL: from } = values
  const problems: string[] = []
  if (resend !== undefined && smtp !== undefined)
    problems.push('RESEND_API_KEY and SMTP_URL must not both be set: mails leave one way')
  if ((resend !== undefined || smtp !== undefined) && from === undefined)
    problems.push('RESEND_FROM_EMAIL must be set where RESEND_API_KEY or SMTP_URL is')
  return problems
}

function senderName(): Setting<string> {
  return {
    description: 'Name that mails are from.',
    fallback: 'Fluxgate',
    fallbackText: 'Fluxgate',
    parse(value) {
      if (!/^[^\p{Cc}"<>\\]{1,100}$/u.test(value))
        throw new Error('1 to 100 characters without quotes, angle brackets and backslashes')
      return value
    },
  }
}

function smtpUrl(): Setting<Secret | undefined> {
  const setting = secret(
    'Sends mails through an SMTP server: `smtp://user:password@host:587`, or `smtps://` for TLS from the start.',
  )
  return {
    ...setting,
    parse(value) {
      const url = URL.canParse(value) ? new URL(value) : undefined
      const isPlain = url?.search === '' && url.hash === '' && (url.pathname === '' || url.pathname === '/')
      const isSmtp = url?.protocol === 'smtp:' || url?.protocol === 'smtps:'
      if (url === undefined || !isPlain || !isSmtp || url.hostname === '' || !isDecodable(url.username + url.password))
        throw new Error(
          'a URL that begins with smtp:// or smtps:// and names no more than user, password, host and port',
        )
      return setting.parse(value)
    },
  }
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}
