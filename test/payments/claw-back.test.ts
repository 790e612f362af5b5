import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createRandom } from '#test/support/random.ts'
import { type Buyer, createStripeGateway, FLUX, type StripeGateway } from '#test/support/stripe/stripe-gateway.ts'
import { until } from '#test/support/until.ts'

let shop: StripeGateway
let price: string
before(async () => {
  shop = await createStripeGateway()
  price = shop.double.addPrice({ flux: '100', amount: 1000 })
})
after(() => shop.close())

/** Somebody who has bought 100 Flux for $10.00, and the intent that paid for them. */
async function buy(buyer?: Buyer): Promise<{ buyer: Buyer; intent: string }> {
  const one = buyer ?? (await shop.openPerson())
  const session = await one.checkout(price)
  shop.double.newEvents()
  shop.double.pay(session)
  await shop.deliver(...shop.double.newEvents())
  return { buyer: one, intent: shop.double.books.get('checkout', session).payment_intent }
}
const deliverNew = () => shop.deliver(...shop.double.newEvents())
const chat = (buyer: Buyer) =>
  shop.chat({ model: 'sim/echo', messages: [{ role: 'user', content: 'hi' }] }, { key: buyer.secret })

test('a refund takes back its part of the Flux, once, and the whole for the whole', async () => {
  const { buyer, intent } = await buy()
  shop.double.refund(intent, 250)
  const events = shop.double.newEvents()
  await shop.deliver(...events, ...events)
  assert.deepEqual(await buyer.money(), { flux: 75n, owed: 0n, frozen: false })
  shop.double.refund(intent)
  await deliverNew()
  assert.deepEqual(await buyer.money(), { flux: 0n, owed: 0n, frozen: false })
  const { records } = (await buyer.ask('GET /api/v1/flux/history')).json
  assert.deepEqual(
    records.map(({ type, amount, metadata }: { type: string; amount: number; metadata: { kind: string } }) => [
      ...[type, amount, metadata.kind],
    ]),
    [
      ['debit', 75, 'claw_back'],
      ['debit', 25, 'claw_back'],
      ['credit', 100, 'grant'],
    ],
  )
  const { rows } = await shop.db.query(
    `select data::jsonb->>'amount' as amount from operator_event where type = 'payment.refunded' and data::jsonb->>'project_id' = $1 order by 1`,
    [buyer.projectId],
  )
  assert.deepEqual(
    rows.map(({ amount }) => amount),
    ['USD 10.00', 'USD 2.50'],
  )
})

test('what is spent is owed: the wallet is frozen, and new money pays first', async () => {
  const { buyer, intent } = await buy()
  await shop.till.charge(buyer, 80n * FLUX)
  shop.double.refund(intent)
  await deliverNew()
  assert.deepEqual(await buyer.money(), { flux: 0n, owed: 80n, frozen: true })
  const refused = await chat(buyer)
  assert.deepEqual([refused.status, refused.json.error.code], [402, 'wallet_frozen'])
  await buy(buyer)
  assert.deepEqual(await buyer.money(), { flux: 20n, owed: 0n, frozen: false })
  assert.equal((await chat(buyer)).status, 200)
})

test('other Flux of the wallet pay for what was taken back and spent', async () => {
  const buyer = await shop.openPerson(50n)
  const { intent } = await buy(buyer)
  await shop.till.charge(buyer, 120n * FLUX)
  assert.deepEqual(await buyer.money(), { flux: 30n, owed: 0n, frozen: false })
  shop.double.refund(intent)
  await deliverNew()
  assert.deepEqual(await buyer.money(), { flux: 0n, owed: 70n, frozen: true })
})

test('a dispute takes at once, and gives again when it is won; an inquiry takes nothing', async () => {
  const { buyer, intent } = await buy()
  shop.double.dispute(intent, { inquiry: true })
  await deliverNew()
  assert.deepEqual(await buyer.money(), { flux: 100n, owed: 0n, frozen: false })
  await shop.till.charge(buyer, 30n * FLUX)
  const dispute = shop.double.dispute(intent)
  await deliverNew()
  assert.deepEqual(await buyer.money(), { flux: 0n, owed: 30n, frozen: true })
  shop.double.closeDispute(dispute.id, 'won')
  await deliverNew()
  assert.deepEqual(await buyer.money(), { flux: 70n, owed: 0n, frozen: false })
  const { rows } = await shop.db.query<{ type: string; status: string }>(
    `select type, data::jsonb->>'status' as status from operator_event
     where data::jsonb->>'dispute_id' = $1 order by type, status`,
    [dispute.id],
  )
  assert.deepEqual(rows, [
    { type: 'dispute.closed', status: 'won' },
    { type: 'dispute.opened', status: 'needs_response' },
    { type: 'dispute.opened', status: 'warning_needs_response' },
  ])
})

test('a dispute that is lost stays lost', async () => {
  const { buyer, intent } = await buy()
  const dispute = shop.double.dispute(intent)
  shop.double.closeDispute(dispute.id, 'lost')
  await deliverNew()
  assert.deepEqual(await buyer.money(), { flux: 0n, owed: 0n, frozen: false })
})

test('a refund that fails gives the Flux again', async () => {
  const { buyer, intent } = await buy()
  const refund = shop.double.refund(intent, 400)
  await deliverNew()
  assert.equal((await buyer.money())?.flux, 60n)
  shop.double.failRefund(refund.id)
  await deliverNew()
  assert.deepEqual(await buyer.money(), { flux: 100n, owed: 0n, frozen: false })
})

test('what a running call holds is not taken from it, and is owed until it ends', async () => {
  const { buyer, intent } = await buy()
  await shop.till.charge(buyer, 60n * FLUX, {
    async meanwhile() {
      shop.double.refund(intent)
      await deliverNew()
      // 40 are free; the 60 that are held stand in the wallet and are owed.
      assert.deepEqual(await buyer.money(), { flux: 60n, owed: 60n, frozen: true })
    },
  })
  assert.deepEqual(await buyer.money(), { flux: 0n, owed: 60n, frozen: true })
})

test('held money that comes back pays the debt by itself', async () => {
  const { buyer, intent } = await buy()
  await shop.till.charge(buyer, 60n * FLUX, {
    end: { outcome: 'void', usage: {}, usageSource: 'none' },
    async meanwhile() {
      shop.double.refund(intent)
      await deliverNew()
      assert.deepEqual(await buyer.money(), { flux: 60n, owed: 60n, frozen: true })
    },
  })
  await until('the debt is paid', async () => (await buyer.money())?.owed === 0n)
  assert.deepEqual(await buyer.money(), { flux: 0n, owed: 0n, frozen: false })
})

const SEED = 20_261_201

test('in random histories of purchases, calls, refunds and disputes nothing is made or lost', async (t) => {
  const random = createRandom(SEED)
  let deliveries = 0
  for (let history = 0; history < 30; history += 1) {
    const buyer = await shop.openPerson(BigInt(random.integer(0, 40)))
    let [received, spent] = [(await buyer.money())?.flux ?? 0n, 0n]
    const intents: string[] = []
    const open: string[] = []
    const waiting: unknown[] = []
    const flush = async () => {
      while (waiting.length > 0) {
        const [event] = waiting.splice(random.integer(0, waiting.length - 1), 1)
        deliveries += 1
        await shop.deliver(event)
        if (random.chance(0.3)) await shop.deliver(event)
      }
    }
    shop.double.newEvents()
    for (let step = 0; step < 12; step += 1) {
      const act = random.pick(['buy', 'buy', 'spend', 'spend', 'refund', 'dispute', 'close', 'flush'] as const)
      const { flux = 0n, frozen } = (await buyer.money()) ?? {}
      if (act === 'buy' && intents.length < 8) {
        const session = await buyer.checkout(price)
        shop.double.pay(session)
        intents.push(shop.double.books.get('checkout', session).payment_intent)
      } else if (act === 'spend' && !frozen && flux > 0n) {
        const cost = BigInt(random.integer(1, Number(flux)))
        await shop.till.charge(buyer, cost * FLUX)
        spent += cost
      } else if (act === 'refund' && intents.length > 0) {
        const charge = chargeOf(random.pick(intents as [string]))
        const left = (charge.amount - charge.amount_refunded) / 10
        if (left > 0 && !charge.disputed) shop.double.refund(charge.payment_intent, random.integer(1, left) * 10)
      } else if (act === 'dispute' && intents.length > 0) {
        const charge = chargeOf(random.pick(intents as [string]))
        if (!charge.disputed && charge.amount > charge.amount_refunded)
          open.push(shop.double.dispute(charge.payment_intent).id)
      } else if (act === 'close' && open.length > 0)
        shop.double.closeDispute(open.pop() ?? '', random.pick(['won', 'lost']))
      waiting.push(...shop.double.newEvents())
      if (act === 'flush') await flush()
    }
    await flush()
    for (const intent of intents) {
      const charge = chargeOf(intent)
      const disputes = shop.double.books.all('dispute').filter((one) => one.payment_intent === intent)
      const gone = disputes.filter(({ status }) => status !== 'won').reduce((sum, { amount }) => sum + amount, 0)
      received += BigInt((charge.amount - charge.amount_refunded - gone) / 10)
    }
    const { flux = 0n, owed = 0n, frozen } = (await buyer.money()) ?? {}
    assert.equal(flux - owed, received - spent, `history ${history}`)
    assert(flux === 0n || owed === 0n, 'what is owed was taken while there was something')
    assert.equal(frozen, owed > 0n)
    await shop.expectAudit()
  }
  t.diagnostic(`seed ${SEED}: 30 histories, ${deliveries} deliveries`)
})

function chargeOf(intent: string) {
  return shop.double.books.get('charge', shop.double.books.get('payment_intent', intent).latest_charge)
}
