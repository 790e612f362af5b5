import { createHash, createHmac } from 'node:crypto'

export interface AwsCredentials {
  accessKeyId: string
  secret: string
  session: string | undefined
}

export interface AwsRequest {
  method: string
  /** `https://bedrock-runtime.us-west-2.amazonaws.com`. */
  origin: string
  /** As it is sent, with its query. */
  path: string
  /** All that are to be signed, beside `host` and the date. Names in lower case. */
  headers: Readonly<Record<string, string>>
  body: string | Uint8Array
}

/** Reads `ACCESS_KEY_ID:SECRET[:SESSION]`. Undefined for any other text. */
export function parseAwsCredentials(text: string): AwsCredentials | undefined {
  const parts = /^([A-Z0-9]{8,128}):([\x21-\x39\x3b-\x7e]{8,256})(?::([\x21-\x7e]{1,8192}))?$/.exec(text)
  return parts === null
    ? undefined
    : { accessKeyId: parts[1] ?? '', secret: parts[2] ?? '', session: parts[3] || undefined }
}

/**
 * Headers that sign a request by AWS Signature Version 4: `authorization`, `x-amz-date` and, with a session,
 * `x-amz-security-token`. The body is signed as it is, so it must be sent unchanged.
 */
export function signAwsRequest(
  request: AwsRequest,
  credentials: AwsCredentials,
  scope: { region: string; service: string; at: Date },
): Record<string, string> {
  const time = scope.at.toISOString().replace(/[-:]|\.\d{3}/g, '')
  const day = time.slice(0, 8)
  const added: Record<string, string> = {
    'x-amz-date': time,
    ...(credentials.session !== undefined && { 'x-amz-security-token': credentials.session }),
  }
  const headers = Object.entries({ ...request.headers, host: new URL(request.origin).host, ...added }).sort(byName)
  const names = headers.map(([name]) => name).join(';')
  const [path = '/', query = ''] = request.path.split(/\?(.*)/s)
  const canonical = [
    request.method,
    path.split('/').map(encode).join('/'),
    canonicalQuery(query),
    ...headers.map(([name, value]) => `${name}:${value.trim().replace(/ +/g, ' ')}`),
    '',
    names,
    sha256(request.body),
  ].join('\n')
  const place = `${day}/${scope.region}/${scope.service}/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', time, place, sha256(canonical)].join('\n')
  const key = [day, scope.region, scope.service, 'aws4_request'].reduce<Buffer | string>(
    (secret, part) => hmac(secret, part),
    `AWS4${credentials.secret}`,
  )
  const signature = hmac(key, toSign).toString('hex')
  const credential = `${credentials.accessKeyId}/${place}`
  return {
    ...added,
    authorization: `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`,
  }
}

function canonicalQuery(query: string): string {
  if (query === '') return ''
  return query
    .split('&')
    .map((pair): [string, string] => {
      const [name = '', value = ''] = pair.split(/=(.*)/s)
      return [encode(decodeURIComponent(name)), encode(decodeURIComponent(value))]
    })
    .sort(([nameA, valueA], [nameB, valueB]) => compare(nameA, nameB) || compare(valueA, valueB))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
}

/** RFC 3986: everything but the unreserved characters. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

function byName([a]: [string, string], [b]: [string, string]): number {
  return compare(a, b)
}

/** By code point, not by language. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

function hmac(key: Buffer | string, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest()
}
