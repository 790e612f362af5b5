import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { type CloudAnswer, type CloudRequest, chatAnswer, createCloudServer } from './cloud-server.ts'

export interface BedrockOptions {
  region: string
  apiKey: string
  accessKeyId: string
  secret: string
  /** Asked for with the access key where it is set. */
  session?: string
}

const CLOCK_SKEW_MS = 5 * 60_000

/** Bedrock's OpenAI-compatible endpoint. Recomputes signatures from the bytes it got, by itself. */
export async function createBedrock(options: BedrockOptions) {
  return createCloudServer((request) => {
    const problem = refusalOf(request, options)
    if (problem !== undefined) return denied(problem)
    if (request.method !== 'POST' || request.url !== '/openai/v1/chat/completions')
      return { status: 404, body: { message: 'UnknownOperationException' } }
    return chatAnswer(request)
  })
}

function denied(message: string): CloudAnswer {
  return { status: 403, body: { message } }
}

function refusalOf({ method, url, headers, body }: CloudRequest, options: BedrockOptions): string | undefined {
  const { authorization = '' } = headers
  if (authorization === `Bearer ${options.apiKey}`) return undefined
  const parts =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      authorization,
    )
  if (parts === null) return 'Authentication failed: Please make sure your API Key is valid.'
  const [, accessKeyId, day = '', region, service, names = '', signature = ''] = parts
  const date = String(headers['x-amz-date'])
  const at = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
  if (!(Math.abs(at - Date.now()) < CLOCK_SKEW_MS)) return 'Signature expired'
  if (!date.startsWith(day)) return 'Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date'
  if (accessKeyId !== options.accessKeyId) return 'The security token included in the request is invalid.'
  if (headers['x-amz-security-token'] !== options.session)
    return 'The security token included in the request is invalid.'
  if (region !== options.region || service !== 'bedrock') return 'Credential should be scoped to a valid region.'
  const signed = names.split(';')
  for (const name of ['host', 'x-amz-date', ...(options.session === undefined ? [] : ['x-amz-security-token'])])
    if (!signed.includes(name)) return `'${name}' must be a 'SignedHeader' in the AWS Authorization.`
  const lines = [method, url, '']
  for (const name of signed) lines.push(`${name}:${headers[name]}`)
  lines.push('', names, createHash('sha256').update(body).digest('hex'))
  const hash = createHash('sha256').update(lines.join('\n')).digest('hex')
  const mac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
  const key = mac(mac(mac(mac(`AWS4${options.secret}`, day), options.region), 'bedrock'), 'aws4_request')
  const expected = mac(key, `AWS4-HMAC-SHA256\n${date}\n${day}/${region}/bedrock/aws4_request\n${hash}`)
  return timingSafeEqual(expected, Buffer.from(signature, 'hex'))
    ? undefined
    : 'The request signature we calculated does not match the signature you provided.'
}
