import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'
import type { VectorIndex } from '#test/receipt-vectors/build.ts'
import { rootSigner } from '#test/receipt-vectors/keys.ts'
import { createTestApi } from '#test/support/http-api.ts'
import { classify, type Item } from '#verifier/classify.ts'
import { readVerifyPage } from '#verifier/page.ts'
import { verifyItems } from '#verifier/verify-items.ts'
import { buildVerifyPage } from '../tools/verify-page.ts'

const folder = fileURLToPath(new URL('../src/billing/vectors/', import.meta.url))
const vector = (name: string) => join(folder, name)
const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
const skip = executablePath === undefined ? 'there is no Chromium on this machine' : false

let browser: Browser | undefined
let place: string
before(async () => {
  place = await mkdtemp(join(tmpdir(), 'fluxgate-verify-page-'))
  await writeFile(join(place, 'verify.html'), readVerifyPage())
  if (executablePath !== undefined)
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
})
after(async () => {
  await browser?.close()
  await rm(place, { recursive: true })
})

test('the page is what its sources make: node tools/build-verify-page.ts', () => {
  assert.equal(readVerifyPage(), buildVerifyPage())
})

test('GET /verify answers the page under its policy', async () => {
  const api = await createTestApi()
  try {
    const { status, headers, text } = await api.call('GET /verify', { key: null })
    assert.equal(status, 200)
    assert.equal(text, readVerifyPage())
    const policy = String(headers['content-security-policy'])
    assert.match(
      policy,
      /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+';.*frame-ancestors 'none'$/,
    )
  } finally {
    await api.close()
  }
})

for (const [file, kind] of [
  ['good-complete.json', 'bundles'],
  ['keys.json', 'keys'],
  ['document-statement.json', 'bundles'],
  ['document-manifest.json', 'manifest'],
  ['log-inclusion.tlog-proof', 'proof'],
  ['log-policy-witnesses.txt', 'policy'],
  ['broken-text-duplicate-key.json', 'unreadable'],
] as const)
  test(`${file} is told to be ${kind}`, async () => {
    assert.equal(classify(await readFile(vector(file), 'utf8')).kind, kind)
  })

/** A page of its own, from a file and without a network. */
async function openPage(): Promise<Page> {
  assert(browser)
  const context = await browser.newContext({ offline: true })
  const page = await context.newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()))
  await page.goto(pathToFileURL(join(place, 'verify.html')).href)
  await page.getByText('Ready: nothing that you give').waitFor()
  assert.deepEqual(faults, [])
  return page
}

async function verdictOf(page: Page): Promise<string> {
  const verdict = page.locator('#verdict, #result p.fail').first()
  await verdict.waitFor()
  return verdict.innerText()
}

async function failedSteps(page: Page): Promise<string[]> {
  return page.locator('tr.fail th').allInnerTexts()
}

test('a browser verifies files without a network, and shows each step', { skip }, async () => {
  const page = await openPage()
  await page.locator('#files').setInputFiles(['good-all-fields.json', 'keys.json'].map(vector))
  assert.match(await verdictOf(page), /All is well: 1 of 1/)
  assert.deepEqual(await page.locator('tr.ok th').allInnerTexts(), ['format', 'path', 'signature', 'key', 'charge'])
  await page.context().close()
})

test('a browser verifies what is pasted: a receipt, keys by the root key, a proof and a policy', { skip }, async () => {
  const page = await openPage()
  await page.locator('#root').fill(rootSigner.keyId)
  for (const file of [
    'document-manifest.json',
    'log-bundle.json',
    'log-witnessed.tlog-proof',
    'log-policy-witnesses.txt',
  ]) {
    await page.locator('#text').fill(await readFile(vector(file), 'utf8'))
    await page.locator('#add').click()
    await page
      .locator(`#items li`)
      .nth(
        ['document-manifest.json', 'log-bundle.json', 'log-witnessed.tlog-proof', 'log-policy-witnesses.txt'].indexOf(
          file,
        ),
      )
      .waitFor()
  }
  await page.getByText('2 witnesses, a quorum by').waitFor()
  assert.match(await verdictOf(page), /All is well: 2 of 2/)
  await page.locator('#root').fill('root_0000000000000000')
  await page.locator('#root').blur()
  await page.getByText('Not verified').waitFor()
  assert.deepEqual(await failedSteps(page), ['root'])
  await page.context().close()
})

test('a browser says of receipts and documents what the command says', { skip }, async (t) => {
  const index: VectorIndex = JSON.parse(await readFile(vector('index.json'), 'utf8'))
  const page = await openPage()
  // A list of keys is taken for the keys themselves here, so it is another question.
  const documents = index.documents.filter(({ file }) => !file.startsWith('document-manifest'))
  const every = [...index.vectors, ...documents].filter((_, at) => at % 12 === 0)
  for (const { file, expect } of every) {
    await page.reload()
    await page.locator('#files').setInputFiles([vector('keys.json'), vector(file)])
    const verdict = await verdictOf(page)
    const [first] = await failedSteps(page)
    const unreadable = (await page.locator('li.unreadable').count()) > 0
    assert.equal(unreadable ? 'format' : (first ?? 'ok'), expect, `${file}: ${verdict}`)
    assert.equal(/All is well/.test(verdict), expect === 'ok', file)
  }
  t.diagnostic(`${every.length} vectors in Chromium`)
  await page.context().close()
})

test('nothing that is given is passed over: a second list of keys, the rest of a page', async () => {
  const given = (...names: string[]) =>
    Promise.all(names.map(async (name) => classify(await readFile(vector(name), 'utf8'))))
  const judge = async (items: Item[], partial = false) => verifyItems(items, { partial })
  const good = await given('good-complete.json', 'keys.json')
  assert.equal((await judge(good)).ok, true)
  for (const more of ['keys.json', 'document-manifest-forged.json'])
    assert.deepEqual((await judge([...good, ...(await given(more))])).problems, ['give one list of keys'])
  const bundle = JSON.parse(await readFile(vector('good-complete.json'), 'utf8'))
  const page = { object: 'list', data: [bundle], has_more: true, next_after: bundle.receipt.seq }
  const cut = await judge([classify(JSON.stringify(page)), ...(await given('keys.json'))])
  assert.equal(cut.ok, false)
  assert.equal(cut.set?.steps.find(({ name }) => name === 'complete')?.ok, false)
  assert.equal((await judge([classify(JSON.stringify(page)), ...(await given('keys.json'))], true)).ok, true)
  assert.equal(classify(JSON.stringify({ ...page, note: 'x' })).kind, 'unreadable')
})

test('what a forger wrote is text, never markup', { skip }, async () => {
  const page = await openPage()
  const bundle = JSON.parse(await readFile(vector('good-complete.json'), 'utf8'))
  bundle.receipt.receipt_id = '<img src=x onerror=alert(1)>'
  bundle.batch.id = '<b>x</b>'
  await page.locator('#text').fill(JSON.stringify(bundle))
  await page.locator('#add').click()
  await page.locator('#files').setInputFiles(vector('keys.json'))
  await page.locator('tr.fail').first().waitFor()
  assert.equal(await page.locator('img, #result b').count(), 0)
  await page.context().close()
})
