// Everything here runs in browsers as well as in Node: it opens no file and reads no environment. `@fluxgate/client/node` does.
export { type BindOptions, bindAlias, unbindAlias } from './bind.ts'
export { checkLockfile } from './check-lockfile.ts'
export {
  type Cost,
  type CostStatus,
  costOf,
  formatUsd,
  type Price,
  type PriceLines,
  type Usage,
  type UsageKind,
} from './cost.ts'
export {
  checkDrift,
  compareVersions,
  type Drift,
  type PriceChange,
  parseRegistryDocument,
  type RegistryDocument,
} from './drift.ts'
export {
  FluxgateError,
  type FluxgateErrorOptions,
  type HttpFaultCode,
  LockfileError,
  type LockfileErrorCode,
  type Problem,
  ResolutionError,
  type ResolutionErrorCode,
} from './errors.ts'
export {
  type Answered,
  type FailedAttempt,
  type FailoverOptions,
  failover,
  failoverStream,
  nextStep,
} from './failover.ts'
export { type Fault, faultOf } from './fault.ts'
export {
  type AiSdkOptions,
  createFluxgate,
  type Fluxgate,
  type FluxgateOptions,
  type SdkClient,
  type SdkOptions,
  type Target,
} from './fluxgate.ts'
export {
  createGatewayApi,
  type GatewayApi,
  type GatewayHealth,
  type GatewayKey,
  type UsageLogEntry,
  type UsageQuery,
  type UsageStats,
  type UsageTotals,
} from './http/gateway-api.ts'
export { type Labels, labelHeaders } from './labels.ts'
export { lockDigest } from './lock-digest.ts'
export type { LockTable, LockValue } from './lock-value.ts'
export {
  type Binding,
  createLockfile,
  type Extends,
  findBinding,
  type Lockfile,
  listAliases,
  type Profile,
} from './lockfile.ts'
export { type LockfileFormat, lockfileFormat, readLockfile, writeLockfile } from './lockfile-text.ts'
export { gatewayModel, type ModelRef, parseModelRef } from './model-ref.ts'
export { priceOf } from './price-row.ts'
export { type PriceTable, readPrices } from './price-table.ts'
export {
  type BatchProof,
  fetchReceiptKeys,
  type Receipt,
  type ReceiptAttempt,
  type ReceiptBundle,
  type ReceiptKey,
  type ReceiptKeys,
  type ReceiptPrice,
  type ReceiptSetVerification,
  readReceiptKeys,
  type SetVerification,
  type Verification,
  type VerifyStepName,
  verifyReceipt,
  verifyReceiptSet,
} from './receipts.ts'
export {
  type Environment,
  type LockfileSet,
  namespacesOf,
  profileOf,
  providersWithKeys,
  type Resolution,
  type ResolveOptions,
  resolveModel,
} from './resolve.ts'
export { type CallLabels, logCall, logStream, usageEntryOf } from './usage/log-call.ts'
export { usageOf } from './usage/reported-usage.ts'
export type { UsageEntry } from './usage/usage-entry.ts'
export {
  createUsageLogger,
  type LossReason,
  type UsageCounts,
  type UsageLogger,
  type UsageLoggerOptions,
} from './usage/usage-logger.ts'
export type { UsageQueue } from './usage/usage-queue.ts'
