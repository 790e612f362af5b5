import { assert } from '#lib/assert.ts'
import type { MailTemplate, MailTemplates } from './mail.ts'

/** A mail as it is written, before it is text or markup. Paragraphs are plain text and may hold what people chose. */
interface Letter {
  /** Fixed words alone: a header is no place for what people chose. */
  subject: string
  paragraphs: string[]
  /** The one thing to do. */
  action?: { label: string; url: string }
  closing: string
}

const NOT_YOU = 'If you did not ask for this, you need not do anything.'

const letters: { [T in MailTemplate]: (data: MailTemplates[T]) => Letter } = {
  verification: ({ url }) => ({
    subject: 'Confirm your e-mail address',
    paragraphs: ['Welcome. Confirm that this address is yours, and your account is ready.'],
    action: { label: 'Confirm this address', url },
    closing: NOT_YOU,
  }),
  password_reset: ({ url }) => ({
    subject: 'Choose a new password',
    paragraphs: ['Somebody, we hope you, wants a new password for your account.'],
    action: { label: 'Choose a new password', url },
    closing: `${NOT_YOU} Your password stays as it is.`,
  }),
  magic_link: ({ url }) => ({
    subject: 'Your link to sign in',
    paragraphs: ['This link signs you in. It works once and for a short time.'],
    action: { label: 'Sign in', url },
    closing: `${NOT_YOU} Give the link to nobody.`,
  }),
  change_email: ({ url, newEmail }) => ({
    subject: 'Confirm the change of your e-mail address',
    paragraphs: [`The address of your account is to become ${newEmail}.`],
    action: { label: 'Confirm the change', url },
    closing: 'If you did not ask for this, do not confirm, and change your password.',
  }),
  delete_account: ({ url }) => ({
    subject: 'Confirm that your account is to be deleted',
    paragraphs: [
      'Your account is to be deleted: your keys stop working, your personal data is erased, subscriptions are cancelled.',
      'What is left of your balance cannot be used afterwards. This cannot be undone.',
    ],
    action: { label: 'Delete my account', url },
    closing: 'If you did not ask for this, do not open the link, and change your password.',
  }),
  project_invitation: ({ url, role }) => ({
    subject: 'You are asked to join a project',
    paragraphs: [
      `Somebody asks you to join a project as ${role}. Sign in with this address, or sign up, to see which, and to join or decline.`,
    ],
    action: { label: 'See the invitation', url },
    closing: 'If you do not know of it, you need not do anything: the invitation ends by itself after two weeks.',
  }),
  low_balance: ({ availableFlux, thresholdFlux }) => ({
    subject: 'Your balance is low',
    paragraphs: [`${availableFlux} Flux are left, less than the ${thresholdFlux} below which you want to hear of it.`],
    closing: 'Calls are refused when nothing is left.',
  }),
  top_up_failed: ({ amount }) => ({
    subject: 'Your automatic top-up failed',
    paragraphs: [`Your balance was to be topped up by ${amount}, and the payment did not go through.`],
    closing: 'Check your payment method. Calls are refused when nothing is left.',
  }),
  budget_threshold: ({ budget, percent, spentFlux, limitFlux }) => ({
    subject: 'A budget has reached its threshold',
    paragraphs: [`${percent} % of the budget "${budget}" are spent: ${spentFlux} of ${limitFlux} Flux.`],
    closing: 'Calls that a budget does not cover are refused.',
  }),
}

/** Writes a mail, as text and as markup that says the same. */
export function renderMail<T extends MailTemplate>(
  template: T,
  data: MailTemplates[T],
): { subject: string; text: string; html: string } {
  const { subject, paragraphs, action, closing } = letters[template](data)
  if (action !== undefined) assert(isWebAddress(action.url), 'a link in a mail leads to a web page')
  const words = paragraphs.map(oneLine)
  const text = [...words, ...(action ? [`${action.label}: ${action.url}`] : []), closing].join('\n\n')
  const body = [
    ...words.map((paragraph) => `<p>${escapeHtml(paragraph)}</p>`),
    ...(action ? [`<p><a href="${escapeHtml(action.url)}" style="${BUTTON}">${escapeHtml(action.label)}</a></p>`] : []),
    ...(action ? [`<p style="${SMALL}">Or open ${escapeHtml(action.url)}</p>`] : []),
    `<p style="${SMALL}">${escapeHtml(closing)}</p>`,
  ].join('\n')
  const head = `<meta charset="utf-8"><title>${escapeHtml(subject)}</title>`
  const html = `<!doctype html>\n<html lang="en"><head>${head}</head>\n<body style="${BODY}">\n${body}\n</body></html>\n`
  return { subject, text: `${text}\n`, html }
}

const BODY = 'max-width:36rem;margin:2rem auto;padding:0 1rem;font:1rem/1.6 system-ui,sans-serif'
const BUTTON =
  'display:inline-block;padding:.6rem 1.2rem;border-radius:.4rem;background:#1f5fbf;color:#fff;text-decoration:none'
const SMALL = 'color:#666;font-size:.875rem;overflow-wrap:anywhere'

/** A line break in a name could write paragraphs of its own. */
function oneLine(text: string): string {
  return text.toWellFormed().replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}

function isWebAddress(url: string): boolean {
  return /^https?:\/\/[^\s"<>\p{Cc}]+$/u.test(url) && URL.canParse(url)
}
