import type { Receipt } from './receipt.ts'
import { failed, notReached, passed, type VerifyStep } from './verify-steps.ts'

type Bytes = Uint8Array<ArrayBuffer>

/** What a customer holds beside a receipt: the key of its commitments and the bytes that he sent and got. */
export interface Openings {
  key: Bytes
  request?: Bytes | undefined
  response?: Bytes | undefined
}

/** Whether a receipt was made for exactly these bytes: one step for each that is given. */
export async function checkOpenings(
  receipt: Receipt | undefined,
  { key, request, response }: Openings,
): Promise<VerifyStep<'request' | 'response'>[]> {
  const steps: VerifyStep<'request' | 'response'>[] = []
  for (const [name, bytes, commitment] of [
    ['request', request, receipt?.request_commit],
    ['response', response, receipt?.response_commit],
  ] as const) {
    if (bytes === undefined) continue
    if (receipt === undefined) steps.push(notReached(name, 'the receipt is not readable'))
    else if (commitment === undefined) steps.push(failed(name, `the receipt has no ${name}_commit`))
    else if ((await commit(key, bytes)) !== commitment)
      steps.push(failed(name, `${name}_commit is of other bytes, or of another key`))
    else steps.push(passed(name, `${name}_commit is of these ${bytes.byteLength} bytes`))
  }
  return steps
}

async function commit(key: Bytes, bytes: Bytes): Promise<string> {
  const hmac = { name: 'HMAC', hash: 'SHA-256' }
  const imported = await crypto.subtle.importKey('raw', key, hmac, false, ['sign'])
  const digest = new Uint8Array(await crypto.subtle.sign('HMAC', imported, bytes))
  return `hmac-sha256:${Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')}`
}
