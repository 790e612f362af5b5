import type { LogEntry } from './log-entry.ts'
import { logEntryView } from './log-view.ts'

/** One object a line, as /api/v1/logs shows it. */
export async function* encodeNdjson(pages: AsyncIterable<LogEntry[]>): AsyncGenerator<Uint8Array> {
  for await (const page of pages) {
    let text = ''
    for (const entry of page) text += `${JSON.stringify(logEntryView(entry))}\n`
    yield Buffer.from(text)
  }
}
