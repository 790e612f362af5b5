import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MailTemplate, MailTemplates } from './mail.ts'
import { renderMail } from './mail-templates.ts'

const EVIL = `<img src=x onerror="alert('1')">&\r\nBcc: eve@example.com\u2028x`
const url = 'https://gate.example/api/auth/verify-email?token=a.b-c&callbackURL=%2Fauth%2Fverify-email'

const samples: { [T in MailTemplate]: MailTemplates[T] } = {
  verification: { url },
  password_reset: { url },
  magic_link: { url },
  change_email: { url, newEmail: EVIL },
  delete_account: { url },
  project_invitation: { url, role: 'viewer' },
  low_balance: { availableFlux: EVIL, thresholdFlux: EVIL },
  top_up_failed: { amount: EVIL },
  budget_threshold: { budget: EVIL, percent: 80, spentFlux: EVIL, limitFlux: EVIL },
}

for (const template of Object.keys(samples) as MailTemplate[])
  test(`${template}: what people chose is text, and never a header`, () => {
    const { subject, text, html } = renderMail(template, samples[template])
    assert.match(subject, /^[A-Z][\w -]{5,60}$/)
    assert.doesNotMatch(html, /<img|onerror="/)
    assert.doesNotMatch(text, /^Bcc/m)
    assert.equal(/\r|\u2028/.test(text), false)
    const tags = [...html.matchAll(/<(\/?[a-z!]+)/g)].map((match) => match[1])
    assert.deepEqual(
      [...new Set(tags)].filter((tag) => !/^\/?(!doctype|html|head|meta|title|body|p|a)$/.test(tag ?? '')),
      [],
    )
    if ('url' in samples[template]) {
      assert(text.includes(url), 'the text has the link as it is')
      assert(html.includes(`href="${url.replaceAll('&', '&#38;')}"`))
    }
  })

for (const bad of [
  'javascript:alert(1)',
  'https://a b',
  'data:text/html,x',
  'https://x/"onclick="',
  '/relative',
  'https://x/\r\ny',
])
  test(`no mail links to ${JSON.stringify(bad)}`, () => {
    assert.throws(() => renderMail('verification', { url: bad }))
  })
