import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Receipt } from '#billing/receipt.ts'
import type { OracleCall } from '#simulator/oracle.ts'
import type { ClientRecord } from './load.ts'
import { type Evidence, reconcile } from './reconcile.ts'

const LINES = { input: 1_000n, output: 2_000n, reasoning: 2_000n }

/** One honest call of each kind: whole and told so; cut short by a kill, with part of it recorded; refused upstream. */
function honest(): Evidence {
  return {
    clients: [
      client({ receipt: 'rcp_a', acknowledged: { charged: 50n }, tokens: 20 }),
      client({ receipt: 'rcp_b', stream: true, counted: 900, tokens: 1_000 }),
    ],
    oracle: [
      call({ clientRequestId: 'a', promptTokens: 10, completionTokens: 20 }),
      call({ clientRequestId: 'b', promptTokens: 10, completionTokens: 1_100, stream: true, state: 'aborted' }),
      call({ clientRequestId: 'c', promptTokens: 10, state: 'failed' }),
    ],
    receipts: [
      receipt({ receipt_id: 'rcp_a', charged_nanousd: '50', usage: { input: 10, output: 20 } }),
      receipt({
        receipt_id: 'rcp_b',
        outcome: 'gateway_lost',
        usage_source: 'counted',
        charged_nanousd: '1410',
        usage: { input: 10, output: 700 },
      }),
      receipt({ receipt_id: 'rcp_c', outcome: 'void', usage_source: 'none', charged_nanousd: '0', usage: {} }),
    ],
    receiptProblems: [],
    audit: { checked: 100, bad: [] },
    wallets: [{ name: 'one', granted: 2_000n, posted: 540n, held: 0n, charged: 1_460n }],
    linesOf: () => LINES,
  }
}

function client(known: Partial<ClientRecord>): ClientRecord {
  return {
    kind: 'test',
    stream: false,
    receipt: undefined,
    acknowledged: undefined,
    tokens: 0,
    counted: undefined,
    idempotencyKey: undefined,
    hung: false,
    ...known,
  }
}

function call(known: Partial<OracleCall>): OracleCall {
  return {
    sequence: 1,
    clientRequestId: null,
    protocol: 'chat',
    model: 'large',
    stream: false,
    status: 200,
    state: 'finished',
    startedAt: '',
    promptTokens: 0,
    cachedTokens: 0,
    cacheWriteTokens: 0,
    cacheWrite1hTokens: 0,
    audioPromptTokens: 0,
    characters: 0,
    seconds: 0,
    completionTokens: 0,
    reasoningTokens: 0,
    spokenCharacters: 0,
    bytes: 0,
    endedAfterMs: 1,
    ...known,
  }
}

function receipt(known: Partial<Receipt>): Receipt {
  return {
    outcome: 'complete',
    usage_source: 'provider',
    absorbed_nanousd: '0',
    charged_nanousd: '0',
    usage: {},
    ...known,
  } as Receipt
}

test('honest evidence breaks no rule, and says what was lost', () => {
  const { rules, ...figures } = reconcile(honest())
  assert.deepEqual(
    rules.filter(({ bad }) => bad > 0),
    [],
  )
  assert.deepEqual(figures, {
    unpaid: { streams: 1, maxTokens: 200, p50Tokens: 200 },
    uncharged: { maxTokens: 395, p50Tokens: 395, maxNanos: 800n },
    unchargedWhole: { calls: 0, maxNanos: 0n },
    deliveredNanos: 2_260n,
    chargedNanos: 1_460n,
  })
})

const lies: [name: string, lie: (evidence: Evidence) => Partial<Evidence>, broken: RegExp][] = [
  [
    'a receipt that was acknowledged is gone',
    ({ receipts }) => ({ receipts: receipts.slice(1) }),
    /acknowledged calls have their receipt/,
  ],
  [
    'a client was told another charge',
    ({ clients }) => ({
      clients: clients.map((one) => (one.acknowledged ? { ...one, acknowledged: { charged: 49n } } : one)),
    }),
    /acknowledged calls have their receipt/,
  ],
  [
    'an acknowledged call was settled as lost',
    ({ receipts }) => ({
      receipts: receipts.map((one) =>
        one.receipt_id === 'rcp_a' ? { ...one, outcome: 'gateway_lost' as const } : one,
      ),
    }),
    /acknowledged calls have their receipt/,
  ],
  [
    'an acknowledged answer lacks a token',
    ({ clients }) => ({ clients: clients.map((one) => (one.acknowledged ? { ...one, tokens: 19 } : one)) }),
    /acknowledged answers are whole/,
  ],
  ['a call has two receipts', ({ receipts }) => ({ receipts: [...receipts, ...receipts.slice(0, 1)] }), /one receipt/],
  ['a call was dispatched twice', ({ oracle }) => ({ oracle: [...oracle, ...oracle.slice(0, 1)] }), /dispatched once/],
  [
    'one name got two receipts',
    ({ clients }) => ({
      clients: [...clients, ...['rcp_a', 'rcp_b'].map((id) => client({ receipt: id, idempotencyKey: 'k' }))],
    }),
    /a name stands for one call/,
  ],
  [
    'a call reached the upstream without a hold',
    ({ oracle }) => ({ oracle: [...oracle, call({ clientRequestId: 'd' })] }),
    /reached the upstream have a receipt/,
  ],
  [
    'a charge is one nano-dollar too high',
    ({ receipts }) => ({
      receipts: receipts.map((one) => (one.receipt_id === 'rcp_b' ? { ...one, charged_nanousd: '2211' } : one)),
    }),
    /what is charged was delivered/,
  ],
  [
    'a complete answer is charged one nano-dollar too little',
    ({ receipts }) => ({
      receipts: receipts.map((one) => (one.receipt_id === 'rcp_a' ? { ...one, charged_nanousd: '49' } : one)),
    }),
    /to the nano-dollar/,
  ],
  [
    'a stream was delivered far beyond what is recorded',
    ({ clients }) => ({ clients: clients.map((one) => (one.stream ? { ...one, counted: 700 + 1_345 } : one)) }),
    /at most a tranche/,
  ],
  ['a receipt does not verify', () => ({ receiptProblems: ['rcp_a: signature'] }), /receipts verify/],
  ['a hold is left', ({ wallets }) => ({ wallets: wallets.map((one) => ({ ...one, held: 1n })) }), /nothing is held/],
  [
    'money is missing',
    ({ wallets }) => ({ wallets: wallets.map((one) => ({ ...one, posted: 539n })) }),
    /less what it was/,
  ],
  ['the audit finds a row', () => ({ audit: { checked: 100, bad: ['1 rows: something'] } }), /the books balance/],
  ['a client hung', ({ clients }) => ({ clients: [...clients, client({ hung: true })] }), /waits for ever/],
]

for (const [name, lie, broken] of lies) {
  test(`it is noticed when ${name}`, () => {
    const evidence = honest()
    const found = reconcile({ ...evidence, ...lie(evidence) }).rules.filter(({ bad }) => bad > 0)
    assert(
      found.some(({ rule }) => broken.test(rule)),
      `found only ${found.map(({ rule }) => rule).join('; ') || 'nothing'}`,
    )
    assert(found.every(({ examples }) => examples.length > 0))
  })
}
