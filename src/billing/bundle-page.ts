import { isRecord } from './fields.ts'

/** A page of receipts or statements. */
export interface BundlePage {
  bundles: readonly unknown[]
  /** The number or the day after which its next page begins, when it says that there is one. */
  moreAfter?: number | string
}

/** Exactly what GET /v1/receipts or GET /v1/statements answers: with other members it would be unclear what was checked. */
export function readPage(page: object): BundlePage {
  const { object, data, has_more, next_after } = page as Record<string, unknown>
  const hasNext = typeof next_after === 'number' || (typeof next_after === 'string' && next_after !== '')
  if (
    Object.keys(page).sort().join() !== 'data,has_more,next_after,object' ||
    object !== 'list' ||
    !Array.isArray(data) ||
    typeof has_more !== 'boolean' ||
    !(hasNext || (next_after === null && !has_more))
  )
    throw new Error('this is no bundle, no array of bundles and no page as GET /v1/receipts answers it')
  return { bundles: data, ...(hasNext && has_more && { moreAfter: next_after }) }
}

/** A page that says that there are more is complete only together with the next one, of the same account. */
export function missingPage(
  { bundles, moreAfter }: BundlePage,
  all: readonly unknown[],
): { name: string; ok: boolean; detail: string } | undefined {
  if (moreAfter === undefined) return undefined
  const [member, number, path] = typeof moreAfter === 'number' ? receipts : statements
  const account = memberOf(bundles.at(-1), member)?.account
  const isThere = all.some((bundle) => {
    const signed = memberOf(bundle, member)
    const at = signed?.[number]
    return signed?.account === account && typeof at === typeof moreAfter && (at as typeof moreAfter) > moreAfter
  })
  if (isThere) return undefined
  const after = `${moreAfter}`.slice(0, 20)
  const detail = `the list is not complete: name GET ${path}?after=${after} as another file, or use --partial`
  return { name: 'complete', ok: false, detail }
}

const receipts = ['receipt', 'seq', '/v1/receipts'] as const
const statements = ['document', 'day', '/v1/statements'] as const

function memberOf(bundle: unknown, name: string): Record<string, unknown> | undefined {
  const member: unknown = isRecord(bundle) ? bundle[name] : undefined
  return isRecord(member) ? member : undefined
}
