// @ts-nocheck The types of a browser are not those of this project.
import { attempt, byId, call, element, follow, say } from './page-tools.js'

const HISTORY_PAGE = 20
const KEYS_PAGE = 100
const KINDS = { debit: 'Call', credit: 'Purchase', initial: 'Welcome', promo: 'Gift', refund: 'Refund' }
const NAMES = {
  refund: 'Refund',
  expiry: 'Expired',
  reversal: 'Taken back',
  claw_back: 'Payment taken back',
  repayment: 'Debt paid',
  reinstatement: 'Given again',
}
const when = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })

/** Digits in groups of three, however many: an amount is exact, and stays text. */
const grouped = (decimal) => String(decimal).replace(/\B(?<!\.\d*)(?=(\d{3})+(?!\d))/g, ',')
const cell = (text, className = '') => element('td', { className }, text)
const time = (iso) => element('time', { dateTime: iso }, when.format(new Date(iso)))

/** What this server does not offer is not shown; what fails is told where it stands. */
async function show(id, work) {
  try {
    await work()
    byId(id).hidden = false
  } catch (error) {
    if (error.status === 401) throw error
    if (error.status === 404) return
    byId(id).hidden = false
    byId(id).append(element('p', { className: 'status bad' }, error.message))
  }
}

async function showBalance() {
  const wallet = await call('GET', '/v1/wallet')
  byId('balance-amount').textContent = `${grouped(wallet.available_flux)} Flux`
  byId('frozen').hidden = !wallet.frozen
  const soon = wallet.lots
    .filter(({ expires_at }) => expires_at)
    .sort((a, b) => a.expires_at.localeCompare(b.expires_at))
  if (soon[0]) byId('expiry').replaceChildren('The next part expires ', time(soon[0].expires_at), '.')
}

async function showInvitations() {
  const { data } = await call('GET', '/api/v1/invitations')
  const answer = (invitation, method, path, label, done) => {
    const button = element('button', { type: 'button', ariaLabel: `${label} ${invitation.project_name}` }, label)
    button.addEventListener('click', () =>
      attempt(button, async () => {
        await call(method, `/api/v1/invitations/${encodeURIComponent(invitation.id)}${path}`)
        say(done, 'good')
        button.closest('li').remove()
        byId('invitations').hidden = byId('invitation-list').children.length === 0
      }),
    )
    return button
  }
  byId('invitation-list').replaceChildren(
    ...data.map((invitation) => {
      const { project_name, role, expires_at } = invitation
      const join = answer(invitation, 'POST', '/accept', 'Join', `You have joined "${project_name}".`)
      const decline = answer(invitation, 'DELETE', '', 'Decline', `You have declined "${project_name}".`)
      decline.className = 'quiet'
      const words = [
        element('p', {}, element('strong', {}, project_name)),
        element('p', { className: 'hint' }, `As ${role}, until `, time(expires_at)),
      ]
      return element('li', {}, ...words, join, decline)
    }),
  )
  if (data.length === 0) throw Object.assign(new Error(), { status: 404 })
}

async function showPackages() {
  const [once, plans] = await Promise.all([call('GET', '/api/v1/stripe/packages'), call('GET', '/api/v1/stripe/plans')])
  const every = ({ interval, intervalCount }) =>
    intervalCount === 1 ? `a ${interval}` : `every ${intervalCount} ${interval}s`
  const packages = [
    ...once,
    ...plans.map((plan) => ({ ...plan, label: `${plan.label} ${every(plan)}`, verb: 'Subscribe' })),
  ]
  if (packages.length === 0) throw Object.assign(new Error(), { status: 404 })
  const currencies = [...new Set(packages.flatMap(({ currencies }) => Object.keys(currencies)))].sort()
  const select = byId('currency')
  select.append(...currencies.map((code) => element('option', { value: code }, code.toUpperCase())))
  select.value = packages[0].defaultCurrency
  select.parentElement.hidden = currencies.length < 2
  const list = () =>
    byId('packages').replaceChildren(
      ...packages
        .filter(({ currencies }) => currencies[select.value])
        .map(({ stripePriceId, label, currencies, recommended, verb = 'Buy' }) => {
          const price = currencies[select.value]
          const buy = element('button', { type: 'button', ariaLabel: `${verb} ${label} for ${price}` }, verb)
          buy.addEventListener('click', () =>
            attempt(buy, async () => {
              const { url } = await call('POST', '/api/v1/stripe/checkout', { stripePriceId, currency: select.value })
              follow(url)
            }),
          )
          const words = [element('p', {}, element('strong', {}, label)), element('p', {}, price)]
          const note = recommended ? [element('p', { className: 'hint' }, 'Recommended')] : []
          return element('li', { className: recommended ? 'recommended' : '' }, ...words, ...note, buy)
        }),
    )
  select.addEventListener('change', list)
  list()
  byId('portal').addEventListener('click', (event) =>
    attempt(event.target, async () => follow((await call('POST', '/api/v1/stripe/portal', {})).url)),
  )
}

let shownRecords = 0
async function showHistory() {
  const { records, hasMore } = await call('GET', `/api/v1/flux/history?limit=${HISTORY_PAGE}&offset=${shownRecords}`)
  shownRecords += records.length
  byId('records').append(
    ...records.map(({ type, amount, description, createdAt, metadata }) =>
      element(
        'tr',
        {},
        element('td', {}, time(createdAt)),
        cell(NAMES[metadata?.kind] ?? KINDS[type] ?? type),
        cell(description ?? ''),
        cell(`${type === 'debit' ? '−' : '+'}${grouped(String(amount).replace(/^-/, ''))}`, 'number'),
      ),
    ),
  )
  byId('more').hidden = !hasMore
  byId('no-history').hidden = shownRecords > 0
}

async function showKeys() {
  const keys = []
  let after = ''
  for (;;) {
    const page = await call('GET', `/v1/keys?limit=${KEYS_PAGE}${after && `&after=${after}`}`)
    keys.push(...page.data)
    if (!page.has_more) break
    after = page.next_after
  }
  const live = keys.filter(
    ({ revoked_at, expires_at }) => !revoked_at && !(new Date(expires_at ?? Number.NaN) < new Date()),
  )
  byId('key-list').replaceChildren(
    ...live.map((key) => {
      const revoke = element(
        'button',
        { type: 'button', className: 'danger', ariaLabel: `Revoke the key ${key.name}` },
        'Revoke',
      )
      revoke.addEventListener('click', () => {
        if (!confirm(`Revoke the key "${key.name}"? Programs that use it are refused at once.`)) return
        void attempt(revoke, async () => {
          await call('DELETE', `/v1/keys/${encodeURIComponent(key.id)}`)
          await showKeys()
          say(`The key "${key.name}" is revoked.`, 'good')
        })
      })
      const used = key.last_used_at ? time(key.last_used_at) : 'never'
      const hint = element('code', {}, key.hint ? `…${key.hint}` : '…')
      return element(
        'tr',
        {},
        cell(key.name),
        element('td', {}, hint),
        element('td', {}, used),
        element('td', { className: 'number' }, revoke),
      )
    }),
  )
  byId('no-keys').hidden = live.length > 0
}

byId('new-key').addEventListener('submit', (event) => {
  event.preventDefault()
  const form = event.target
  void attempt(form.querySelector('button'), async () => {
    const { secret } = await call('POST', '/v1/keys', { name: form.elements.namedItem('name').value })
    byId('secret').textContent = secret
    byId('made').hidden = false
    form.reset()
    await showKeys()
  })
})

byId('more').addEventListener('click', (event) => attempt(event.target, showHistory))

byId('sign-out').addEventListener('click', (event) =>
  attempt(event.target, async () => {
    await call('POST', '/api/auth/sign-out', {})
    location.assign('/auth/sign-in')
  }),
)

byId('delete').addEventListener('click', (event) =>
  attempt(event.target, async () => {
    await call('POST', '/api/auth/delete-user', { callbackURL: '/auth/account-deleted' })
    say(
      'Look into your mail: a link there confirms that your account is to be deleted. Until then nothing happens.',
      'good',
    )
    byId('status').scrollIntoView({ block: 'nearest' })
  }),
)

async function start() {
  const session = await call('GET', '/api/auth/get-session')
  if (!session?.user) throw Object.assign(new Error(), { status: 401 })
  byId('name').textContent = session.user.name
  byId('email').textContent = session.user.email
  if (new URLSearchParams(location.search).get('success') === 'true')
    say('Thank you. What you bought is added within a moment: reload the page if it is not there yet.', 'good')
  await Promise.all([
    show('balance', showBalance),
    show('invitations', showInvitations),
    show('buy', showPackages),
    show('history', showHistory),
    show('keys', showKeys),
  ])
  byId('account').hidden = false
}

start().catch((error) => {
  if (error.status === 401) location.replace(`/auth/sign-in?next=${encodeURIComponent('/account')}`)
  else say(error.message, 'bad')
})
