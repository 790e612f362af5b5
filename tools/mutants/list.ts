/** One deliberate break: `find` stands exactly once in `file`. */
export interface Mutant {
  name: string
  file: string
  find: string
  replace: string
  /** Files of which at least one test must fail. */
  tests: readonly string[]
}

const rules = ['test/ledger/money-rules.test.ts']
const slots = ['test/ledger/slot.test.ts']
const sweeping = ['test/ledger/sweeper.test.ts']
const lanes = ['src/lib/group-commit.test.ts']

const ledgerSql = (name: string, find: string, replace: string, tests = rules): Mutant => ({
  name,
  file: 'src/db/migrations/0001_ledger.sql',
  find,
  replace,
  tests,
})

export const mutants: readonly Mutant[] = [
  // Reserve
  ledgerSql(
    'reserve ignores what is held',
    'select array_agg(id), array_agg(posted - held), array_agg(x.seq)',
    'select array_agg(id), array_agg(posted), array_agg(x.seq)',
  ),
  ledgerSql('reserve grants below the floor', 'continue when v_got < p_floor[i];', 'continue when v_got < 0;'),
  ledgerSql('a batch admits each call as if it were alone', 'v_free[w] := v_free[w] - v_got;', ''),
  ledgerSql(
    'reserve takes no lock',
    '(select * from wallet where id = any (p_wallet) order by id for no key update) x',
    '(select * from wallet where id = any (p_wallet) order by id) x',
  ),
  ledgerSql(
    'the body of a repeated call is not compared',
    'coalesce(h.body_hash, l.body_hash) <> p_body[i] as differs',
    'false as differs',
  ),
  ledgerSql('call numbers do not advance', 'seq = x.seq + d.taken', 'seq = x.seq'),
  ledgerSql(
    'the epoch fences nobody',
    'where slot = p_slot and epoch = p_epoch and not released',
    'where slot = p_slot',
    [...rules, ...slots],
  ),

  // Extend
  ledgerSql(
    'extend grants what it does not take',
    'update wallet w set held = w.held + s.got,',
    'update wallet w set held = w.held,',
  ),
  ledgerSql(
    'an extension that is sent again adds twice',
    'where number > extension and nth = 1',
    'where number >= extension and nth = 1',
  ),
  ledgerSql('a hold of a lost epoch is extended', 'and h.slot = p_slot and h.epoch = p_epoch', 'and h.slot = p_slot'),

  // Settle
  ledgerSql('settle gives back the charge, not the hold', 'held = x.held - d.released', 'held = x.held - d.charged'),
  ledgerSql(
    'settle charges beyond the hold',
    'and h.seq = o.seq and o.charge between 0 and h.amount;',
    'and h.seq = o.seq and o.charge >= 0;',
    ['test/ledger/guards.test.ts'],
  ),
  ledgerSql(
    'a call is settled twice in one batch',
    'or (v_calls > 1 and (select count(distinct rid) from unnest(p_request) as o(rid)) <> v_calls)',
    '',
    ['test/ledger/guards.test.ts'],
  ),
  ledgerSql('a settled hold stays open', 'delete from hold where request_id = any (p_request);', ''),
  ledgerSql(
    'lots burn in the order of their creation',
    'order by wallet_id, priority, expires_at nulls last, id) x;',
    'order by wallet_id, id) x;',
  ),
  ledgerSql('the roll-up is skipped', 'group by wid, model order by wid, model', 'where false group by wid, model'),
  ledgerSql(
    'the cost is not posted',
    'v_cost_account, v_payable, 1, v_costs, v_now where v_costs > 0;',
    'v_cost_account, v_payable, 1, v_costs, v_now where false;',
  ),

  // Refund and expiry
  ledgerSql('refunds have no cap', 'if p_amount <= 0 or p_amount > v_charged - v_back then', 'if p_amount <= 0 then'),
  ledgerSql(
    'a refund forgets earlier ones',
    'select coalesce(sum(amount), 0) into v_back from transfer where reverses = p_request;',
    'v_back := 0;',
  ),
  ledgerSql(
    'a refund starts with what was burnt first',
    '(sum(t.amount) over (order by t.leg desc))::bigint as hi',
    '(sum(t.amount) over (order by t.leg))::bigint as hi',
  ),
  ledgerSql(
    'expiry takes what running calls hold',
    'select id, posted - held as free from wallet where id = any (p_wallet) and next_expiry <= now()',
    'select id, posted as free from wallet where id = any (p_wallet) and next_expiry <= now()',
  ),

  // Prices, holds and receipts
  {
    name: 'charges are rounded down',
    file: 'src/billing/price.ts',
    find: 'return (pico + PICO_PER_NANO - 1n) / PICO_PER_NANO',
    replace: 'return pico / PICO_PER_NANO',
    tests: ['src/billing/price.test.ts'],
  },
  {
    name: 'the minimum is dropped',
    file: 'src/billing/price.ts',
    find: 'return minimum !== undefined && sum < minimum && hasUnits(usage) ? minimum : sum',
    replace: 'return sum',
    tests: ['src/billing/price-terms.test.ts'],
  },
  {
    name: 'nothing used costs the minimum',
    file: 'src/billing/price.ts',
    find: 'sum < minimum && hasUnits(usage) ? minimum : sum',
    replace: 'sum < minimum ? minimum : sum',
    tests: ['src/billing/price-terms.test.ts'],
  },
  {
    name: 'leaving early costs the flat price',
    file: 'src/billing/price.ts',
    find: "if (terms.flat !== undefined && unknown && end.outcome === 'complete') return terms.flat",
    replace: 'if (terms.flat !== undefined && unknown) return terms.flat',
    tests: ['src/billing/price-terms.test.ts'],
  },
  {
    name: 'the flat price is charged for known usage',
    file: 'src/billing/price.ts',
    find: "if (terms.flat !== undefined && unknown && end.outcome === 'complete') return terms.flat",
    replace: "if (terms.flat !== undefined && end.outcome === 'complete') return terms.flat",
    tests: ['src/billing/price-terms.test.ts'],
  },
  {
    name: 'a hold does not cover the minimum and the flat price',
    file: 'src/billing/price.ts',
    find: 'return largest(ceilToNanos(pico), any ? price.minimum : undefined, price.flat)',
    replace: 'return ceilToNanos(pico)',
    tests: ['src/billing/price-terms.test.ts'],
  },
  {
    name: 'a hold does not cover characters and seconds',
    file: 'src/billing/price.ts',
    find: 'const promptPico = picoOf(bound.others, lines)',
    replace: 'const promptPico = 0n',
    tests: ['src/billing/price-terms.test.ts'],
  },
  {
    name: 'a hold below the minimum covers tokens',
    file: 'src/billing/price.ts',
    find: 'if (nanos < (price.minimum ?? 0n) || nanos < (price.flat ?? 0n)) return 0',
    replace: '',
    tests: ['src/billing/price-terms.test.ts'],
  },
  {
    name: 'a minimum is lost on the way through the hold',
    file: 'src/domain/call-context.ts',
    find: '...(minimum !== undefined && { minimum: BigInt(minimum) }),',
    replace: '',
    tests: ['src/domain/call-context.test.ts'],
  },
  {
    name: 'a receipt does not state the minimum',
    file: 'src/billing/receipt.ts',
    find: 'minimum_nanousd: optionalText(receipt.price.minimum_nanousd),',
    replace: '',
    tests: ['src/domain/settlement.test.ts'],
  },
  {
    name: 'the verifier knows no flat price',
    file: 'src/billing/check-charge.ts',
    find: '...(flat_nanousd !== undefined && { flat: BigInt(flat_nanousd) }),',
    replace: '',
    tests: ['test/receipt-vectors.test.ts'],
  },
  {
    name: 'the verifier counts no attempts',
    file: 'src/billing/parse-receipt.ts',
    find: 'value.attempt_list.length !== value.attempts',
    replace: 'false',
    tests: ['test/receipt-vectors.test.ts'],
  },
  {
    name: 'the customer pays for failed attempts',
    file: 'src/domain/settlement.ts',
    find: 'const priced = worthNanos(end, terms)',
    replace: 'const priced = worthNanos(end, terms) + lostNanos(end.attemptList)',
    tests: ['src/domain/settlement.test.ts'],
  },
  {
    name: 'a fraction of a Flux is dropped',
    file: 'src/billing/flux-price.ts',
    find: "const pico = exactProduct(fluxPer1k, fluxNanousd, 'pico-dollar per unit')",
    replace: "const pico = (exactProduct(fluxPer1k, fluxNanousd, 'pico-dollar per unit') / fluxNanousd) * fluxNanousd",
    tests: ['src/billing/flux-price.test.ts'],
  },
  {
    name: 'any report of usage is believed',
    file: 'src/billing/usage.ts',
    find: 'if (max !== undefined && units > USAGE_TOLERANCE * max + added) {',
    replace: 'if (max === -1) {',
    tests: ['src/billing/usage.test.ts'],
  },
  {
    name: 'a stream is held for its prompt only',
    file: 'src/gateway/hold-plan.ts',
    find: 'Math.min(outputTokensMax, TRANCHE_TOKENS_FIRST)',
    replace: '0',
    tests: ['src/gateway/hold-plan.test.ts'],
  },
  {
    name: 'a stream runs on when its wallet is empty',
    file: 'src/gateway/tranche.ts',
    find: "options.onEmpty('insufficient_credits')",
    replace: 'goOn()',
    tests: ['src/gateway/tranche.test.ts'],
  },
  {
    name: 'a receipt tells another charge than its record',
    file: 'src/domain/settlement.ts',
    find: 'charged_nanousd: charged.toString()',
    replace: 'charged_nanousd: priced.toString()',
    tests: rules,
  },
  {
    name: 'the leaf is of another text',
    file: 'src/domain/settlement.ts',
    find: 'leaf: leafHash(text)',
    replace: "leaf: leafHash(text + ' ')",
    tests: rules,
  },
  {
    name: 'a call is charged beyond what its hold allows',
    file: 'src/domain/settlement.ts',
    find: 'const charged = smaller(priced, chargeMax)',
    replace: 'const charged = priced',
    tests: ['test/gateway/who-pays.test.ts'],
  },

  // Commits, the spool and the sweeper
  {
    name: 'the answer comes before the commit',
    file: 'src/lib/group-commit.ts',
    find: 'for (const entry of entries) entry.sent = true',
    replace: 'for (const entry of entries) if (answer(entry)) entry.resolve(undefined as Result)',
    tests: lanes,
  },
  {
    name: 'a retry drops an operation',
    file: 'src/lib/group-commit.ts',
    find: 'queue = [...outage.entries, ...queue]',
    replace: 'queue = [...outage.entries.slice(1), ...queue]',
    tests: lanes,
  },
  {
    name: 'who was given up is sent again',
    file: 'src/lib/group-commit.ts',
    find: 'const wanted = entries.filter((entry) => !entry.answered)',
    replace: 'const wanted = entries',
    tests: lanes,
  },
  {
    name: 'the spool is emptied while something waits',
    file: 'src/domain/spool.ts',
    find: `    if (waiting.size > 0) return
    void inTurn(async () => {
      if (waiting.size > 0) return
`,
    replace: '    void inTurn(async () => {\n',
    tests: ['test/ledger/spool.test.ts'],
  },
  {
    name: 'the spool is not looked at again before it is emptied',
    file: 'src/domain/spool.ts',
    find: `    void inTurn(async () => {
      if (waiting.size > 0) return
`,
    replace: '    void inTurn(async () => {\n',
    tests: ['test/ledger/spool.test.ts'],
  },
  {
    name: 'a torn line of the spool is believed',
    file: 'src/domain/spool.ts',
    find: "if (line.slice(0, 8) !== crc32(json).toString(16).padStart(8, '0')) {",
    replace: 'if (json === undefined) {',
    tests: ['test/spool.test.ts'],
  },
  {
    name: 'the sweeper takes running calls',
    file: 'src/domain/sweeper.ts',
    find: 'rows.filter((hold) => !options.ledger.isRunning(hold.attempt))',
    replace: 'rows',
    tests: sweeping,
  },
  {
    name: 'the sweeper charges the whole hold',
    file: 'src/domain/sweeper.ts',
    find: 'chargeMax: hold.accrued,',
    replace: 'chargeMax: hold.amount,',
    tests: sweeping,
  },

  // The stream
  {
    name: 'the last frame of a stream leaves before its settlement',
    file: 'src/gateway/relay-stream.ts',
    find: 'end({ outcome, ...found }, (charged) => [last, receiptComment(charged), voice().done()])',
    replace:
      'client.write(last)\n    end({ outcome, ...found }, (charged) => [receiptComment(charged), voice().done()])',
    tests: ['test/gateway/errors.test.ts'],
  },
  {
    name: 'a client that leaves pays nothing',
    file: 'src/gateway/relay-stream.ts',
    find: "end({ outcome: 'client_abort', ...countedUsage(call, delivered.count()) }, () => [])",
    replace: "end({ outcome: 'client_abort', ...countedUsage(call, delivered.count()), chargeMax: 0n }, () => [])",
    tests: ['test/gateway/who-pays.test.ts'],
  },
]
