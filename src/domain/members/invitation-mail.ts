import type { SendMail } from '#domain/people/mail.ts'
import { createWindowLimiter } from '#lib/window-limiter.ts'
import type { Invitation } from './invitations.ts'

const DAY_MS = 24 * 3600 * 1000
const SUBJECTS_MAX = 10_000
/** Beyond them an invitation is there all the same, and nobody is written to. Of one process. */
const OF_INVITER = { max: 20, windowMs: DAY_MS }
const TO_ADDRESS = { max: 2, windowMs: DAY_MS }

/**
 * Tells an address that it is asked to join a project, in words that nobody chose: owners must not write to strangers through
 * us. Returns at once, and whether it arrives nobody waits for: how long it takes would tell nothing, and must not.
 */
export function createInvitationMail(options: { sendMail: SendMail; publicUrl: string }) {
  const inviters = createWindowLimiter({ subjectsMax: SUBJECTS_MAX })
  const addresses = createWindowLimiter({ subjectsMax: SUBJECTS_MAX })
  const url = new URL('/account', options.publicUrl).href
  return ({ email, role }: Pick<Invitation, 'email' | 'role'>, invitedBy: string): void => {
    if (!inviters.take(invitedBy, OF_INVITER).allowed || !addresses.take(email, TO_ADDRESS).allowed) return
    // What fails is counted and logged where mails are sent.
    options.sendMail(email, 'project_invitation', { url, role }).catch(() => undefined)
  }
}
