// How things look in JSON: the same over HTTP and from the command line. Money is a decimal string, times are ISO 8601.
import { formatRatio } from '#lib/decimal.ts'
import type { AuditReport } from './audit.ts'
import type { Grant } from './grants.ts'
import type { ApiKey } from './keys.ts'
import type { Project } from './projects.ts'
import type { Refund } from './refunds.ts'
import type { Wallet } from './wallets.ts'

export function projectView(project: Project) {
  return {
    object: 'project' as const,
    id: project.id,
    name: project.name,
    description: project.description,
    account: project.account,
    content_logging: project.contentLogging,
    content_retention_days: project.contentRetentionDays,
    low_balance_nanousd: project.lowBalanceNanos?.toString() ?? null,
    created_at: project.createdAt.toISOString(),
  }
}

/** `fluxNanousd` is what one Flux is worth in nano-dollars. */
export function walletView(wallet: Wallet, fluxNanousd: bigint) {
  const flux = (nanos: bigint) => formatRatio(nanos, fluxNanousd)
  return {
    object: 'wallet' as const,
    account: wallet.account,
    posted_nanousd: wallet.postedNanos.toString(),
    held_nanousd: wallet.heldNanos.toString(),
    available_nanousd: wallet.availableNanos.toString(),
    posted_flux: flux(wallet.postedNanos),
    held_flux: flux(wallet.heldNanos),
    available_flux: flux(wallet.availableNanos),
    frozen: wallet.frozen,
    last_seq: Number(wallet.seq),
    lots: wallet.lots.map((lot) => ({
      id: lot.id.toString(),
      kind: lot.kind,
      priority: lot.priority,
      rest_nanousd: lot.restNanos.toString(),
      expires_at: lot.expiresAt?.toISOString() ?? null,
    })),
  }
}

export function keyView(key: ApiKey) {
  return {
    object: 'api_key' as const,
    id: key.id,
    project_id: key.projectId,
    name: key.name,
    hint: key.hint,
    scopes: key.scopes,
    legacy: key.legacy,
    created_at: key.createdAt.toISOString(),
    expires_at: key.expiresAt?.toISOString() ?? null,
    revoked_at: key.revokedAt?.toISOString() ?? null,
    last_used_at: key.lastUsedAt?.toISOString() ?? null,
    rotated_to: key.rotatedTo,
  }
}

export function grantView(grant: Grant) {
  return {
    object: 'grant' as const,
    id: grant.id,
    project_id: grant.projectId,
    amount_nanousd: grant.amountNanos.toString(),
    reason: grant.reason,
    actor: grant.actor,
    expires_at: grant.expiresAt?.toISOString() ?? null,
    created_at: grant.createdAt.toISOString(),
  }
}

export function refundView(refund: Refund) {
  return {
    object: 'refund' as const,
    id: refund.id,
    receipt_id: `rcp_${refund.requestId}`,
    amount_nanousd: refund.amountNanos.toString(),
    reason: refund.reason,
    actor: refund.actor,
    created_at: refund.createdAt.toISOString(),
  }
}

export function auditView(report: AuditReport) {
  return {
    object: 'ledger_audit' as const,
    ok: report.ok,
    checked_at: report.checkedAt,
    invariants: report.invariants.map(({ name, checked, bad }) => ({ name, checked, bad })),
  }
}
