import type { Mail, MailTransport } from '#adapters/mail/transport.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import { isMailAddress } from '#lib/mail-address.ts'
import { AppError } from '#src/errors.ts'
import type { MailTemplate, SendMail } from './mail.ts'
import { renderMail } from './mail-templates.ts'

const OPEN_MAX = 100
const TRIES = 2

export interface SendMailOptions {
  /** Undefined: nothing is configured, and every mail is refused. */
  transport: MailTransport | undefined
  /** How a mail ended, and how long it took with all tries. */
  onEnd: (template: MailTemplate, ok: boolean, seconds: number) => void
  onFailure: (template: MailTemplate, error: unknown) => void
}

/** Writes mails and hands them on; what fails in passing is tried a second time at once. */
export function createSendMail(options: SendMailOptions): SendMail {
  const { transport } = options
  let open = 0

  async function deliver(through: MailTransport, mail: Mail): Promise<void> {
    for (let left = TRIES - 1; ; left -= 1) {
      try {
        return await through.deliver(mail)
      } catch (error) {
        if (left === 0 || (error as { temporary?: unknown }).temporary !== true) throw error
      }
    }
  }

  return async (to, template, data) => {
    if (transport === undefined) throw new AppError('mail_not_configured')
    const startedAt = performance.now()
    let ok = false
    open += 1
    try {
      if (open > OPEN_MAX) throw new Error('too many mails are under way')
      if (!isMailAddress(to)) throw new Error('the recipient is not one plain address')
      await deliver(transport, { to, id: uuidv7Hex(), ...renderMail(template, data) })
      ok = true
    } catch (error) {
      options.onFailure(template, error)
      throw new AppError('mail_failed', { cause: error })
    } finally {
      open -= 1
      options.onEnd(template, ok, (performance.now() - startedAt) / 1000)
    }
  }
}
