// @ts-nocheck The types of a browser are not those of this project; what decides anything is in verify-items.ts.
import { classify, ITEM_CHARS_MAX } from './classify.ts'
import { verifyItems } from './verify-items.ts'

const ITEMS_MAX = 200
const items = []
const byId = (id) => document.getElementById(id)

/** Everything that was given by others is put in as text, never as markup. */
function element(name, className, ...children) {
  const made = document.createElement(name)
  if (className) made.className = className
  made.append(...children)
  return made
}

function add(text, name) {
  if (items.length >= ITEMS_MAX) return
  items.push({ name, ...classify(text.slice(0, ITEM_CHARS_MAX + 1)) })
}

async function addFiles(files) {
  for (const file of files) {
    if (file.size > ITEM_CHARS_MAX)
      items.push({ name: file.name, kind: 'unreadable', label: 'too long', problem: 'the file is too long' })
    // What is not UTF-8 would be read as something else than what was signed.
    else add(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await file.arrayBuffer()), file.name)
  }
}

function listItems() {
  byId('items').replaceChildren(
    ...items.map((item, index) => {
      const remove = element('button', 'remove', 'remove')
      remove.addEventListener('click', () => {
        items.splice(index, 1)
        void show()
      })
      const problem = item.kind === 'unreadable' ? `: ${item.problem}` : ''
      return element('li', item.kind, `${item.name} is ${item.label}${problem} `, remove)
    }),
  )
}

function stepRows(title, steps) {
  const rows = steps.map(({ name, ok, reached = true, detail }) => {
    const mark = ok ? 'ok' : reached ? 'FAIL' : 'not reached'
    return element(
      'tr',
      ok ? 'ok' : reached ? 'fail' : 'skipped',
      element('td', '', mark),
      element('th', '', name),
      element('td', '', detail),
    )
  })
  return [element('h3', '', title), element('table', '', ...rows)]
}

/** How often something was shown: what was asked for before must not come after it. */
let shows = 0

async function show() {
  shows += 1
  const mine = shows
  listItems()
  const out = byId('result')
  if (items.length === 0) {
    out.replaceChildren()
    return
  }
  out.replaceChildren()
  const rootKeyId = byId('root').value.trim() || undefined
  const report = await verifyItems(items, { rootKeyId, partial: byId('partial').checked })
  if (mine !== shows) return
  const counted = [...report.receipts, ...report.documents]
  const good = counted.filter(({ ok }) => ok).length
  const verdict = element('p', report.ok ? 'verdict ok' : 'verdict fail', report.ok ? 'All is well' : 'Not verified')
  verdict.append(`: ${good} of ${counted.length} receipts and documents verify.`)
  verdict.id = 'verdict'
  out.replaceChildren(
    verdict,
    ...report.problems.map((problem) => element('p', 'fail', problem)),
    ...report.documents.flatMap(({ document_id, steps }) =>
      stepRows(`Document ${document_id ?? '(not readable)'}`, steps),
    ),
    ...report.receipts.flatMap(({ receipt_id, steps }) => stepRows(`Receipt ${receipt_id ?? '(not readable)'}`, steps)),
    ...(report.set ? stepRows('All receipts together', report.set.steps) : []),
    ...(report.statements ? stepRows('Receipts and statements together', report.statements.steps) : []),
  )
}

function noted(work) {
  return (event) => {
    event.preventDefault()
    work(event)
      .catch((error) => {
        const problem = error instanceof TypeError ? 'it is not UTF-8' : String(error.message)
        items.push({ name: 'a file', kind: 'unreadable', label: 'nothing known', problem })
      })
      .then(show)
  }
}

byId('add').addEventListener(
  'click',
  noted(async () => {
    const { value } = byId('text')
    if (value.trim() !== '') add(value, 'what you pasted')
    byId('text').value = ''
  }),
)
byId('files').addEventListener(
  'change',
  noted((event) => addFiles([...event.target.files])),
)
document.addEventListener('dragover', (event) => event.preventDefault())
document.addEventListener(
  'drop',
  noted((event) => addFiles([...event.dataTransfer.files])),
)
byId('root').addEventListener('change', () => void show())
byId('partial').addEventListener('change', () => void show())
byId('works').textContent = 'Ready: nothing that you give to this page leaves it.'
