import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { createOutbox } from '#adapters/mail/outbox.ts'
import { createResend } from '#adapters/mail/resend.ts'
import { createSmtp } from '#adapters/mail/smtp.ts'
import type { MailTransport } from '#adapters/mail/transport.ts'
import { createSendMail } from '#domain/people/send-mail.ts'
import { Secret } from '#lib/secret.ts'
import { openMail } from '#src/compose/open-mail.ts'
import type { Parts } from '#src/compose/parts.ts'
import { parseConfig } from '#src/config.ts'
import { createLogSink } from '#test/support/log-sink.ts'
import { startSmtpServer } from '#test/support/smtp-server.ts'

const from = { name: 'Flux & Söhne, Inc.', email: 'no-reply@gate.example' }
const url = 'https://gate.example/api/auth/verify-email?token=abc.def'

function sending(transport: MailTransport | undefined) {
  const ends: [string, boolean][] = []
  const failures: unknown[] = []
  const send = createSendMail({
    transport,
    onEnd: (template, ok) => ends.push([template, ok]),
    onFailure: (_template, error) => failures.push(error),
  })
  return { send, ends, failures }
}

/** A Resend that answers what it is told to. */
async function startResend(answers: (number | 'silence')[]) {
  const requests: { headers: IncomingHttpHeaders; body: Record<string, unknown> }[] = []
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    requests.push({ headers: req.headers, body: JSON.parse(Buffer.concat(chunks).toString()) })
    const status = answers.shift() ?? 200
    if (status === 'silence') return
    res.writeHead(status, { 'content-type': 'application/json', location: 'http://127.0.0.1:1/' })
    res.end(JSON.stringify({ id: 'x', message: 'ada@example.com is not welcome' }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    requests,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/emails`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

const resendAt = (address: string, timeoutMs = 2_000) =>
  createResend({ apiKey: new Secret('re_secret'), from, timeoutMs, url: address })

test('Resend gets one mail for one address, with a key that repeats with a repeated try', async () => {
  await using resend = await startResend([500, 200])
  const { send, ends } = sending(resendAt(resend.url))
  await send('ada@example.com', 'verification', { url })
  assert.deepEqual(ends, [['verification', true]])
  const [first, second] = resend.requests
  assert.equal(resend.requests.length, 2)
  assert.equal(first?.headers.authorization, 'Bearer re_secret')
  assert.deepEqual(first?.body.to, ['ada@example.com'])
  assert.equal(first?.body.from, '"Flux & Söhne, Inc." <no-reply@gate.example>')
  assert.match(String(first?.body.text), /token=abc\.def/)
  assert.deepEqual(first?.body, second?.body)
  assert.equal(first?.headers['idempotency-key'], second?.headers['idempotency-key'])
})

for (const [name, answers, requests] of [
  ['refuses', [422], 1],
  ['fails twice', [503, 429, 200], 2],
  ['redirects', [302, 302], 2],
  ['says nothing', ['silence', 'silence'], 2],
] as const)
  test(`a Resend that ${name} is mail_failed, and its words reach nobody`, async () => {
    await using resend = await startResend([...answers])
    const { send, ends, failures } = sending(resendAt(resend.url, 200))
    await assert.rejects(send('ada@example.com', 'magic_link', { url }), { code: 'mail_failed', status: 502 })
    assert.equal(resend.requests.length, requests)
    assert.deepEqual(ends, [['magic_link', false]])
    assert.doesNotMatch(String((failures[0] as Error).message), /ada@|re_secret|token/)
  })

test('an SMTP server gets the mail, and nothing in it is a header that was not meant', async () => {
  const smtp = await startSmtpServer()
  const transport = createSmtp({
    url: new Secret(`smtp://us%40er:p%3Ass@127.0.0.1:${smtp.port}`),
    from,
    timeoutMs: 2_000,
  })
  try {
    const { send } = sending(transport)
    await send('ada@example.com', 'budget_threshold', {
      ...{
        budget: 'x\r\nBcc: eve@example.com\r\n\r\n.\r\nMAIL FROM:<eve@x>',
        percent: 80,
        spentFlux: '8',
        limitFlux: '10',
      },
    })
    assert.equal(smtp.mails.length, 1)
    const [mail] = smtp.mails
    assert.deepEqual([mail?.from, mail?.to], ['no-reply@gate.example', ['ada@example.com']])
    const [head = ''] = mail?.data.split('\r\n\r\n') ?? []
    assert.doesNotMatch(head, /^bcc/im)
    assert.match(head, /^Subject: A budget has reached its threshold$/m)
    const auth = smtp.commands.find((line) => line.startsWith('AUTH PLAIN ')) ?? ''
    assert.equal(Buffer.from(auth.slice(11), 'base64').toString(), '\0us@er\0p:ss')
  } finally {
    transport.close()
    await smtp.close()
  }
})

for (const [name, answer, tries] of [
  ['refuses the recipient', (line: string) => (line.startsWith('RCPT') ? '550 no ada@example.com here' : undefined), 1],
  ['is busy', (line: string) => (line.startsWith('MAIL') ? '451 later' : undefined), 2],
  ['falls silent', (line: string) => (line.startsWith('EHLO') ? '' : undefined), 2],
] as const)
  test(`an SMTP server that ${name} is mail_failed`, async () => {
    const smtp = await startSmtpServer(answer)
    const transport = createSmtp({ url: new Secret(`smtp://127.0.0.1:${smtp.port}`), from, timeoutMs: 300 })
    try {
      const { send, failures } = sending(transport)
      await assert.rejects(send('ada@example.com', 'verification', { url }), { code: 'mail_failed' })
      assert.equal(smtp.commands.filter((line) => line.startsWith('EHLO')).length, tries)
      assert.equal(smtp.mails.length, 0)
      assert.doesNotMatch(String((failures[0] as Error).message), /ada@/)
    } finally {
      transport.close()
      await smtp.close()
    }
  })

test('what is no plain address is written to by nobody', async () => {
  await using resend = await startResend([])
  const { send } = sending(resendAt(resend.url))
  for (const to of ['a@b.c,d@e.f', 'a@b.c\r\nBcc: d@e.f', 'A <a@b.c>', ''])
    await assert.rejects(send(to, 'verification', { url }), { code: 'mail_failed' })
  assert.equal(resend.requests.length, 0)
})

test('a flood of mails is refused instead of piling up', async () => {
  let taken = 0
  const gate = Promise.withResolvers<void>()
  const { send } = sending({
    async deliver() {
      taken += 1
      await gate.promise
    },
    close: () => undefined,
  })
  const all = Array.from({ length: 150 }, () => send('ada@example.com', 'verification', { url }))
  const ended = Promise.allSettled(all)
  gate.resolve()
  const refused = (await ended).filter(({ status }) => status === 'rejected').length
  assert.deepEqual([taken, refused], [100, 50])
})

function open(env: Record<string, string>) {
  const { log, lines } = createLogSink()
  const registry = new Registry()
  const parts = { config: parseConfig(env), log, registry, opened: new AsyncDisposableStack() }
  return { send: openMail(parts as unknown as Parts), lines: () => lines(), registry }
}

test('with nothing configured mails are shown in the log, with the embedded database alone', async () => {
  const shown = open({})
  await shown.send('ada@example.com', 'verification', { url })
  assert(shown.lines().some((line) => JSON.stringify(line).includes(`Confirm your e-mail address. Open ${url}`)))
  const counted = await shown.registry.metrics()
  assert.match(counted, /fluxgate_email_send_total\{template="verification"\} 1/)

  const shared = { DATABASE_URL: 'postgres://127.0.0.1:1/x' }
  const refused = open(shared)
  await assert.rejects(refused.send('ada@example.com', 'verification', { url }), { code: 'mail_not_configured' })
  assert.equal(JSON.stringify(refused.lines()).includes('token'), false)
  await open({ ...shared, MAIL_OUTBOX: 'on' }).send('ada@example.com', 'verification', { url })
})

test('where mails are really sent, none is ever shown', async () => {
  const smtp = await startSmtpServer()
  try {
    const real = open({
      SMTP_URL: `smtp://127.0.0.1:${smtp.port}`,
      RESEND_FROM_EMAIL: 'a@gate.example',
      MAIL_OUTBOX: 'on',
    })
    await real.send('ada@example.com', 'verification', { url })
    assert.equal(smtp.mails.length, 1)
    assert.equal(JSON.stringify(real.lines()).includes('ada@'), false)
  } finally {
    await smtp.close()
  }
})

test('the outbox says what there is to do', async () => {
  const lines: string[] = []
  await createOutbox((line) => lines.push(line)).deliver({
    ...{ to: 'a@b.c', subject: 'Hello', html: '', id: '1', text: `Read this\n\nOpen: ${url}\n\nBye\n` },
  })
  assert.deepEqual(lines, [`Mail to a@b.c, shown because no mail service is configured: Hello. Open ${url}`])
})

for (const [problem, env] of [
  [/RESEND_FROM_EMAIL must be set/, { RESEND_API_KEY: 're_x' }],
  [/RESEND_FROM_EMAIL must be set/, { SMTP_URL: 'smtp://host' }],
  [/must not both be set/, { SMTP_URL: 'smtp://host', RESEND_API_KEY: 're_x', RESEND_FROM_EMAIL: 'a@b.c' }],
  [/RESEND_FROM_EMAIL must be one e-mail address/, { RESEND_FROM_EMAIL: 'a@b.c\r\nBcc: x@y.z' }],
  [/RESEND_FROM_NAME must be/, { RESEND_FROM_NAME: 'a"b' }],
  [/RESEND_FROM_NAME must be/, { RESEND_FROM_NAME: 'a\nb' }],
  [/SMTP_URL must be/, { SMTP_URL: 'http://host', RESEND_FROM_EMAIL: 'a@b.c' }],
  [/SMTP_URL must be/, { SMTP_URL: 'smtp://host?tls.rejectUnauthorized=false', RESEND_FROM_EMAIL: 'a@b.c' }],
  [/SMTP_URL must be/, { SMTP_URL: 'smtp://%E0%A4%A@host', RESEND_FROM_EMAIL: 'a@b.c' }],
] as const)
  test(`${JSON.stringify(env)} does not start`, () => {
    assert.throws(() => parseConfig(env), problem)
  })
