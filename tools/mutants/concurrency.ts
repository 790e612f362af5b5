import type { Mutant } from './list.ts'

const slots = ['test/ledger/slot.test.ts']
const sweeping = ['test/ledger/sweeper.test.ts']
const lanes = ['src/lib/group-commit.test.ts']
const races = ['test/ledger/race.test.ts']
const wires = ['test/ledger/ambiguous-commit.test.ts']
const found = ['test/ledger/counterexamples.test.ts']
const audits = ['test/ledger/audit.test.ts']

const ledgerSql = (name: string, find: string, replace: string, tests: readonly string[]): Mutant => ({
  name,
  file: 'src/db/migrations/0001_ledger.sql',
  find,
  replace,
  tests,
})
const code = (file: string, name: string, find: string, replace: string, tests: readonly string[]): Mutant => ({
  name,
  file,
  find,
  replace,
  tests,
})

/** Breaks that only show when things happen at once, in the wrong order, or on a broken wire. */
export const concurrencyMutants: readonly Mutant[] = [
  ledgerSql(
    'reserve locks its wallets in the other order than settle',
    '(select * from wallet where id = any (p_wallet) order by id for no key update) x',
    '(select * from wallet where id = any (p_wallet) order by id desc for no key update) x',
    races,
  ),
  ledgerSql(
    'settle takes no lock',
    '(select id from wallet where id = any (p_wallet) order by id for no key update) x',
    '(select id from wallet where id = any (p_wallet) order by id) x',
    races,
  ),
  ledgerSql(
    'who waits for an account of its slot books nothing',
    'from (values (v_revenue, 0, v_total), (v_cost_account, v_costs, 0), (v_payable, 0, v_costs)) as d(id, debit, credit)',
    `from (select v_revenue as id, 0::bigint as debit, v_total as credit
          union all values (v_cost_account, v_costs, 0::bigint), (v_payable, 0, v_costs)) as d`,
    races,
  ),
  ledgerSql(
    'a slot with open calls is taken over',
    'and not exists (select 1 from hold h where h.slot = s.slot))',
    'and true)',
    slots,
  ),
  ledgerSql(
    'a writer without accounts expires money into nowhere',
    'from take t left join account b on b.kind = 5',
    'from take t join account b on b.kind = 5',
    ['test/ledger/by-hand.test.ts'],
  ),
  ledgerSql(
    'a lot that is due soon is looked at a minute late',
    `next_expiry = least(case when s.left_over then now() + interval '1 minute' end,`,
    `next_expiry = coalesce(case when s.left_over then now() + interval '1 minute' end,`,
    found,
  ),
  ledgerSql(
    'a hold has no bound',
    'or p_amount[i] < p_floor[i] or p_amount[i] > 1000000000000 then',
    'or p_amount[i] < p_floor[i] then',
    found,
  ),
  ledgerSql(
    'a late extension is taken for a new one',
    'where number > extension and nth = 1',
    'where number <> extension and nth = 1',
    wires,
  ),
  ledgerSql(
    'a repeated reserve stays under its lost lease',
    'set slot = p_slot, epoch = p_epoch\n        where request_id = p_request[i]',
    'set slot = slot, epoch = epoch\n        where request_id = p_request[i]',
    found,
  ),

  code(
    'src/domain/slot.ts',
    'a lost lease is replaced as often as it is refused',
    'if (lost.slot !== lease.slot || lost.epoch !== lease.epoch) return Promise.resolve()',
    '',
    slots,
  ),
  code(
    'src/domain/sweeper.ts',
    'the sweeper looks at its first page only',
    'if (rows.length < HOLDS_MAX || closing.signal.aborted) break',
    'break',
    sweeping,
  ),
  code(
    'src/domain/sweeper.ts',
    'one bad hold ends the sweep',
    'if (!closing.signal.aborted) options.onError(error)\n      return false',
    'throw error',
    sweeping,
  ),
  code(
    'src/domain/ledger.ts',
    'a refused lease is not claimed anew',
    'if (sqlState(error) === SLOT_LOST)\n        await',
    'if (sqlState(error) === undefined)\n        await',
    slots,
  ),

  code(
    'src/domain/spool.ts',
    'the spool is written and not flushed',
    'await file.appendFile(lines)\n    await file.datasync()',
    'await file.appendFile(lines)',
    ['test/spool.test.ts'],
  ),

  code(
    'src/lib/group-commit.ts',
    'the loop ends some time after its last look at the queue',
    'running = undefined\n    }',
    'await undefined\n      running = undefined\n    }',
    lanes,
  ),
  code(
    'src/lib/group-commit.ts',
    'deadlines are not watched while a commit hangs',
    'if (lateTimer === undefined) watchLate()',
    '',
    lanes,
  ),
  code(
    'src/db/lane-connection.ts',
    'silence is waited for',
    'query_timeout: connection.query_timeout ?? QUERY_MS_MAX',
    'query_timeout: 0',
    wires,
  ),
  code(
    'src/db/lane-connection.ts',
    'an old client makes the lane forget its successor',
    'if (current === client) current = undefined',
    'if (client !== undefined) current = undefined',
    wires,
  ),
  code(
    'src/db/failures.ts',
    'operations are blamed for a database that lets nobody in',
    'if (error instanceof NoConnectionError) return true',
    '',
    wires,
  ),
  code('src/db/failures.ts', 'operations are blamed for a silent network', '|read timeout|', '|', wires),

  code(
    'src/domain/audit.ts',
    'a grant that never moved money is not noticed',
    'full join adjustment a on a.ref = t.ref',
    'left join adjustment a on a.ref = t.ref',
    audits,
  ),
  code(
    'src/domain/audit.ts',
    'one strange receipt ends the audit',
    '::jsonb as r) x`',
    "::jsonb as r) x`.replace(receiptJson, 'l.receipt')",
    audits,
  ),
]
