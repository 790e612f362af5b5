import { createOutbox } from '#adapters/mail/outbox.ts'
import { createResend } from '#adapters/mail/resend.ts'
import { createSmtp } from '#adapters/mail/smtp.ts'
import type { MailTransport } from '#adapters/mail/transport.ts'
import type { SendMail } from '#domain/people/mail.ts'
import { createSendMail } from '#domain/people/send-mail.ts'
import { createCounter, createHistogram } from '#gateway/tallies.ts'
import type { Parts } from './parts.ts'

const TIMEOUT_MS = 10_000
const SECONDS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20]

/** Mails, by whatever is configured to deliver them. */
export function openMail(parts: Parts): SendMail {
  const { registry, log, opened } = parts
  const transport = openTransport(parts)
  if (transport !== undefined) opened.defer(() => transport.close())
  const labelNames = ['template'] as const
  const sent = createCounter(registry, {
    name: 'fluxgate_email_send_total',
    help: 'Mails that were handed on.',
    labelNames,
  })
  const failures = createCounter(registry, {
    name: 'fluxgate_email_failures_total',
    help: 'Mails that nobody took over.',
    labelNames,
  })
  const duration = createHistogram(registry, {
    name: 'fluxgate_email_duration_seconds',
    help: 'From a mail to whoever delivers it.',
    labelNames,
    buckets: SECONDS,
  })
  return createSendMail({
    transport,
    onEnd(template, ok, seconds) {
      const labels = { template }
      if (ok) sent.inc(labels)
      else failures.inc(labels)
      duration.observe(labels, seconds)
    },
    onFailure: (template, error) => log.error({ err: error, template }, 'a mail could not be sent'),
  })
}

function openTransport({ config, log }: Parts): MailTransport | undefined {
  const from = { name: config.RESEND_FROM_NAME, email: config.RESEND_FROM_EMAIL ?? '' }
  if (config.RESEND_API_KEY !== undefined)
    return createResend({ apiKey: config.RESEND_API_KEY, from, timeoutMs: TIMEOUT_MS })
  if (config.SMTP_URL !== undefined) return createSmtp({ url: config.SMTP_URL, from, timeoutMs: TIMEOUT_MS })
  const isShown = config.MAIL_OUTBOX === 'on' || (config.MAIL_OUTBOX === 'auto' && config.embedded)
  return isShown ? createOutbox((line) => log.info(line)) : undefined
}
