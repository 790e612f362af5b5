import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { FILES_MAX, RECEIPTS_MAX, run } from '#cli/receipt-verify.ts'
import { KEYS_BYTES_MAX, RECEIPT_FILE_BYTES_MAX } from '#cli/verify-inputs.ts'
import { freshBundle, goodVectors } from '#test/receipt-vectors/good.ts'
import { currentSigner } from '#test/receipt-vectors/keys.ts'
import { sealBatch } from '#test/receipt-vectors/seal.ts'

const vectors = fileURLToPath(new URL('../src/billing/vectors/', import.meta.url))
const keys = join(vectors, 'keys.json')
const good = join(vectors, 'good-all-fields.json')

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fluxgate-verify-'))
})
after(() => rm(folder, { recursive: true }))

async function verify(args: string[], options: { stdin?: unknown[]; defaultKeysUrl?: string } = {}) {
  const out = new PassThrough()
  const err = new PassThrough()
  const stdin = Readable.from(options.stdin ?? [])
  const { defaultKeysUrl } = options
  const code = await run({ out, err, stdin, ...(defaultKeysUrl !== undefined && { defaultKeysUrl }) }, args)
  out.end()
  err.end()
  return { code, out: await text(out), err: await text(err) }
}

async function file(name: string, content: string | Buffer): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}

test('a good receipt prints five passed steps and exits 0', async () => {
  const { code, out, err } = await verify([good, '--keys', keys])
  assert.equal(code, 0, out + err)
  assert.match(
    out,
    /^receipt rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a04\n {2}ok {4}format {5}.*\n {2}ok {4}path .*\n {2}ok {4}signature .*\n {2}ok {4}key .*\n {2}ok {4}charge .*\nall is well: 1 of 1 receipts verify\n$/,
  )
})

test('every broken vector exits 1', async () => {
  const index: { vectors: { file: string; expect: string }[] } = JSON.parse(
    await readFile(join(vectors, 'index.json'), 'utf8'),
  )
  for (const { file, expect } of index.vectors) {
    const { code, out } = await verify([join(vectors, file), '--keys', keys])
    assert.equal(code, expect === 'ok' ? 0 : 1, `${file}: ${out}`)
    if (expect !== 'ok') assert.match(out, new RegExp(`FAIL {2}${expect}`), file)
  }
})

test('a bundle comes from standard input, in pieces', async () => {
  const bytes = await readFile(good)
  const { code } = await verify(['-', '--keys', keys], { stdin: [bytes.subarray(0, 1000), bytes.subarray(1000)] })
  assert.equal(code, 0)
})

test('--json gives every step to a script', async () => {
  const { code, out } = await verify([join(vectors, 'broken-altered-seq.json'), '--keys', keys, '--json'])
  const result = JSON.parse(out)
  assert.equal(code, 1)
  assert.equal(result.ok, false)
  assert.deepEqual(
    result.receipts[0].steps.map((step: { name: string; ok: boolean }) => [step.name, step.ok]),
    [
      ['format', true],
      ['path', false],
      ['signature', true],
      ['key', true],
      ['charge', true],
    ],
  )
})

const receipt = freshBundle().receipt
const three = sealBatch(
  'batch-3',
  [1, 2, 3].map((seq) => ({ ...receipt, seq, receipt_id: `rcp_${String(seq).padStart(32, '0')}` })),
  currentSigner,
)
const [one, two, last] = three
const page = (data: unknown, hasMore: boolean, nextAfter: number | null) => ({
  object: 'list',
  data,
  has_more: hasMore,
  next_after: nextAfter,
})

for (const { name, content, args, code, seen } of [
  { name: 'a list', content: three, args: [], code: 0, seen: /all is well: 3 of 3/ },
  {
    name: 'a page as the server lists it',
    content: page(three, false, 3),
    args: [],
    code: 0,
    seen: /ok {4}no_gap +none is missing: acc_7qm2vx4kd6jh has numbers 1 to 3\n[\s\S]*all is well/,
  },
  {
    name: 'a page that says that there are more',
    content: page(three, true, 3),
    args: [],
    code: 1,
    seen: /FAIL {2}complete +the list is not complete: name GET \/v1\/receipts\?after=3 as another file, or use --partial\n[\s\S]*FAILED/,
  },
  {
    name: 'a page that says that there are more, as a selection',
    content: page(three, true, 3),
    args: ['--partial'],
    code: 0,
    seen: /as a selection: no number was looked for\n[\s\S]*all is well/,
  },
  {
    name: 'a page whose first receipts were removed',
    content: page([last], false, 3),
    args: [],
    code: 1,
    seen: /FAIL {2}no_gap +2 numbers are missing: acc_7qm2vx4kd6jh 1 to 2\n/,
  },
  { name: 'a later receipt in an array', content: [last], args: [], code: 1, seen: /FAIL {2}no_gap/ },
  { name: 'a later receipt by itself', content: last, args: [], code: 0, seen: /1 of 1/ },
  {
    name: 'a page beside a bundle in one object',
    content: { ...page([one], false, 1), ...two },
    args: [],
    code: 1,
    seen: /FAIL {2}format +this is no bundle, no array of bundles and no page/,
  },
  { name: 'data without the rest of a page', content: { data: three }, args: [], code: 1, seen: /no page/ },
  { name: 'data that is no list', content: page(one, false, 1), args: [], code: 1, seen: /no page/ },
  { name: 'a page with more after nothing', content: page([one], true, null), args: [], code: 1, seen: /no page/ },
  {
    name: 'a list with a gap',
    content: [one, last],
    args: [],
    code: 1,
    seen: /FAIL {2}no_gap +1 numbers are missing: acc_7qm2vx4kd6jh 2\n/,
  },
  { name: 'a selection with a gap', content: [one, last], args: ['--partial'], code: 0, seen: /2 of 2/ },
  { name: 'a receipt twice', content: [one, one], args: ['--partial'], code: 1, seen: /FAIL {2}unique_receipt_id/ },
  {
    name: 'a list with one bad receipt',
    content: [...three, { receipt: {}, batch: {} }],
    args: [],
    code: 1,
    seen: /3 of 4 receipts verify/,
  },
  {
    name: 'a list that is too long',
    content: Array(RECEIPTS_MAX + 1).fill(0),
    args: [],
    code: 1,
    seen: /check fewer at a time/,
  },
  {
    name: 'text that is not JSON',
    content: undefined,
    args: [],
    code: 1,
    seen: /FAIL {2}format {5}the text is not JSON/,
  },
]) {
  test(`${name} exits ${code}`, async () => {
    const path = await file('list.json', JSON.stringify(content) ?? 'receipt')
    const result = await verify([path, '--keys', keys, ...args])
    assert.equal(result.code, code, result.out + result.err)
    assert.match(result.out, seen)
  })
}

test('pages given together are one list, in any order, and complete only without a hole between them', async () => {
  const first = await file('page-1.json', JSON.stringify(page([one], true, 1)))
  const second = await file('page-2.json', JSON.stringify(page([two, last], false, 3)))
  for (const pages of [
    [first, second],
    [second, first],
  ]) {
    const { code, out } = await verify([...pages, '--keys', keys])
    assert.equal(code, 0, out)
    assert.match(out, /has numbers 1 to 3\nall is well: 3 of 3/)
  }
  const third = await file('page-3.json', JSON.stringify(page([last], false, 3)))
  assert.equal((await verify([first, third, '--keys', keys])).code, 1)
  const unfinished = await file('page-2b.json', JSON.stringify(page([two], true, 2)))
  const { code, out } = await verify([first, unfinished, '--keys', keys])
  assert.equal(code, 1)
  assert.match(out, /after=2 as another file/)
  assert.doesNotMatch(out, /after=1 /)
})

test('of several files the one that cannot be read is named', async () => {
  const { code, out } = await verify([good, await file('none.json', 'receipt'), '--keys', keys])
  assert.equal(code, 1)
  assert.match(out, /FAIL {2}format +\S*none\.json: the text is not JSON/)
})

test('the next page of another account completes nothing', async () => {
  const first = await file('page-1.json', JSON.stringify(page([one], true, 1)))
  const others = sealBatch(
    'batch-4',
    [1, 2].map((seq) => ({ ...receipt, account: 'acc_b', seq, receipt_id: `rcp_${String(seq).padStart(32, 'b')}` })),
    currentSigner,
  )
  const { code, out } = await verify([first, await file('b.json', JSON.stringify(others)), '--keys', keys])
  assert.equal(code, 1)
  assert.match(out, /after=1 as another file/)
})

test('a forger cannot steer the terminal', async () => {
  const bundle = { ...freshBundle(), 'x\u001b[2J\u202e': 1 }
  const path = await file('\u001b]0;x.json', JSON.stringify(bundle))
  for (const target of [path, `${path}.none`]) {
    const { out, err } = await verify([target, '--keys', keys])
    assert.match(out + err, /^[\x20-\x7e\n]+$/)
  }
})

for (const { name, args, seen } of [
  { name: 'no file', args: ['--keys', keys], seen: /name a file/ },
  { name: 'a file twice', args: [good, good, '--keys', keys], seen: /name each file once/ },
  {
    name: 'too many files',
    args: [
      ...Array(FILES_MAX + 1)
        .keys()
        .map(String),
      '--keys',
      keys,
    ],
    seen: /name at most 100 files/,
  },
  { name: 'an option that does not exist', args: [good, '--key', keys], seen: /--key/ },
  { name: 'no keys', args: [good], seen: /say where the public keys are/ },
  { name: 'keys over ftp', args: [good, '--keys', 'ftp://127.0.0.1/keys.json'], seen: /http or https/ },
  { name: 'keys in a file URL', args: [good, '--keys', 'file:///etc/passwd'], seen: /http or https/ },
  {
    name: 'a file that is not there',
    args: ['/nonexistent', '--keys', keys],
    seen: /cannot read \/nonexistent: ENOENT/,
  },
  { name: 'a folder', args: [vectors, '--keys', keys], seen: /EISDIR/ },
  {
    name: 'keys that are not there',
    args: [good, '--keys', '/nonexistent'],
    seen: /cannot read public keys at \/nonexistent/,
  },
  { name: 'keys that are no keys', args: [good, '--keys', good], seen: /the keys document lacks current_key_id/ },
]) {
  test(`${name} exits 2 and says why`, async () => {
    const { code, out, err } = await verify(args)
    assert.equal(code, 2)
    assert.equal(out, '')
    assert.match(err, seen)
  })
}

test('nothing to check is not success', async () => {
  const { code, err } = await verify([await file('empty.json', JSON.stringify(page([], false, null))), '--keys', keys])
  assert.equal(code, 2)
  assert.match(err, /there is no receipt to check/)
})

test('input without end or in another encoding exits 2', async () => {
  const block = Buffer.alloc(4 * 1024 * 1024, ' ')
  const endless = await verify(['-', '--keys', keys], { stdin: Array(9).fill(block) })
  assert.equal(endless.code, 2)
  assert.match(endless.err, new RegExp(`longer than ${RECEIPT_FILE_BYTES_MAX} bytes`))
  const latin1 = await verify([await file('latin1.json', Buffer.from('{"é":1}', 'latin1')), '--keys', keys])
  assert.equal(latin1.code, 2)
})

async function withServer(listener: RequestListener, use: (url: string) => Promise<void>): Promise<void> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  try {
    await use(`http://127.0.0.1:${port}/receipts/public-keys.json`)
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
}

test('keys come from a URL, given or by default', async () => {
  const body = await readFile(keys)
  await withServer(
    (_request, response) => response.end(body),
    async (url) => {
      assert.equal((await verify([good, '--keys', url])).code, 0)
      assert.equal((await verify([good], { defaultKeysUrl: url })).code, 0)
    },
  )
})

for (const { name, listener, seen } of [
  {
    name: 'an error',
    listener: ((_, response) => response.writeHead(404).end('{}')) satisfies RequestListener,
    seen: /answers 404/,
  },
  {
    name: 'a redirect',
    listener: ((_, response) => response.writeHead(302, { location: '/other' }).end()) satisfies RequestListener,
    seen: /redirect/,
  },
  {
    name: 'too much',
    listener: ((_, response) => response.end(Buffer.alloc(KEYS_BYTES_MAX + 1, ' '))) satisfies RequestListener,
    seen: /longer than/,
  },
  {
    name: 'something else',
    listener: ((_, response) => response.end('<html>')) satisfies RequestListener,
    seen: /not JSON/,
  },
  {
    name: 'nothing and hangs up',
    listener: ((request) => request.socket.destroy()) satisfies RequestListener,
    seen: /cannot read public keys/,
  },
]) {
  test(`a keys URL that answers with ${name} exits 2`, async () => {
    await withServer(listener, async (url) => {
      const { code, err } = await verify([good, '--keys', url])
      assert.equal(code, 2)
      assert.match(err, seen)
    })
  })
}

test('the good vectors verify as one list, but for the numbers they repeat on purpose', async () => {
  const path = await file('good.json', JSON.stringify(goodVectors.map((vector) => vector.bundle)))
  const { code, out } = await verify([path, '--keys', keys])
  assert.equal(code, 1)
  const all = goodVectors.length
  assert.ok(out.endsWith(`FAILED: ${all} of ${all} receipts verify\n`), out.slice(-200))
})
