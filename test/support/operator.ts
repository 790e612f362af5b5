import type { Receipt } from '#billing/receipt.ts'
import { verifyBundle } from '#billing/verify-receipt.ts'
import { verifySet } from '#billing/verify-set.ts'
import { ADMIN_KEY } from '#test/support/gateway-process.ts'

/** What an operator and a customer can ask a running gateway, with the answers checked. */
export function createOperator(url: () => string) {
  async function ask<T>(
    path: string,
    init: { method?: string; key?: string; body?: unknown; idempotencyKey?: string },
  ) {
    const response = await fetch(url() + path, {
      method: init.method ?? 'GET',
      headers: {
        authorization: `Bearer ${init.key ?? ADMIN_KEY}`,
        ...(init.body !== undefined && { 'content-type': 'application/json' }),
        ...(init.idempotencyKey !== undefined && { 'idempotency-key': init.idempotencyKey }),
      },
      ...(init.body !== undefined && { body: JSON.stringify(init.body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${init.method ?? 'GET'} ${path}: ${response.status} ${text}`)
    return { json: JSON.parse(text) as T }
  }

  return {
    async createProject(name: string, nanos: bigint): Promise<{ id: string; key: string }> {
      const { json: project } = await ask<{ id: string }>('/api/admin/projects', { method: 'POST', body: { name } })
      const { json: key } = await ask<{ secret: string }>(`/api/admin/projects/${project.id}/keys`, {
        method: 'POST',
        body: { name },
      })
      await ask(`/api/admin/projects/${project.id}/grants`, {
        method: 'POST',
        idempotencyKey: 'first',
        body: { amount_nanousd: String(nanos), reason: 'a test' },
      })
      return { id: project.id, key: key.secret }
    },

    async projects(): Promise<{ id: string; name: string }[]> {
      return (await ask<{ data: { id: string; name: string }[] }>('/api/admin/projects', {})).json.data
    },

    async wallet(projectId: string): Promise<{ posted: bigint; held: bigint; lastSeq: number }> {
      const { json } = await ask<{ wallet: { posted_nanousd: string; held_nanousd: string; last_seq: number } }>(
        `/api/admin/projects/${projectId}`,
        {},
      )
      const { posted_nanousd, held_nanousd, last_seq } = json.wallet
      return { posted: BigInt(posted_nanousd), held: BigInt(held_nanousd), lastSeq: last_seq }
    },

    async audit(): Promise<{ checked: number; bad: string[] }> {
      const { json } = await ask<{ invariants: { name: string; checked: number; bad: number }[] }>(
        '/api/admin/audit',
        {},
      )
      return {
        checked: json.invariants.reduce((sum, { checked }) => sum + checked, 0),
        bad: json.invariants.filter(({ bad }) => bad > 0).map(({ name, bad }) => `${bad} rows: ${name}`),
      }
    },

    /** Every receipt of a project, each verified, and what is wrong with any of them or with the set. */
    async receipts(key: string): Promise<{ receipts: Receipt[]; problems: string[] }> {
      const { json: keys } = await ask<unknown>('/receipts/public-keys.json', {})
      const bundles: { receipt: Receipt }[] = []
      const problems: string[] = []
      for (let after = 0; ; ) {
        const { json } = await ask<{ data: { receipt: Receipt }[]; has_more: boolean; next_after: number }>(
          `/v1/receipts?after=${after}&limit=100`,
          { key },
        )
        for (const bundle of json.data) {
          const { ok, steps } = await verifyBundle(bundle, keys)
          if (!ok) problems.push(`${bundle.receipt.receipt_id}: ${JSON.stringify(steps)}`)
        }
        bundles.push(...json.data)
        if (!json.has_more) break
        after = json.next_after
      }
      const set = verifySet(bundles)
      for (const step of set.steps) if (!step.ok) problems.push(`${step.name}: ${step.detail}`)
      return { receipts: bundles.map(({ receipt }) => receipt), problems }
    },

    /** One receipt, or undefined while its call has none. */
    async receipt(key: string, id: string): Promise<Receipt | undefined> {
      const response = await fetch(`${url()}/v1/receipts/${id}`, { headers: { authorization: `Bearer ${key}` } })
      if (response.status === 404) return undefined
      if (!response.ok) throw new Error(`receipt ${id}: ${response.status} ${await response.text()}`)
      return ((await response.json()) as { receipt: Receipt }).receipt
    },

    async ready(): Promise<boolean> {
      return await fetch(`${url()}/readyz`).then(
        async (response) => {
          await response.arrayBuffer()
          return response.status === 200
        },
        () => false,
      )
    },
  }
}
