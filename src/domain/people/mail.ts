/** What each mail is filled in with. A `url` is complete and already carries its token. */
export interface MailTemplates {
  verification: { url: string }
  password_reset: { url: string }
  magic_link: { url: string }
  change_email: { url: string; newEmail: string }
  delete_account: { url: string }
  project_invitation: { url: string; role: 'owner' | 'editor' | 'viewer' }
  low_balance: { availableFlux: string; thresholdFlux: string }
  top_up_failed: { amount: string }
  budget_threshold: { budget: string; percent: number; spentFlux: string; limitFlux: string }
}

export type MailTemplate = keyof MailTemplates

/** Sends one mail. Throws AppError: mail_not_configured, mail_failed. */
export type SendMail = <T extends MailTemplate>(to: string, template: T, data: MailTemplates[T]) => Promise<void>
