import { headerText, integer, object, oneOf, type Rule, text, yes } from './switch-rules.ts'

/** The longest answer a switch, or a request, may ask for. Bounds the memory and time of one call. */
export const TOKENS_MAX = 200_000
const CHUNKS_MAX = 1_000_000
const WAIT_MS_MAX = 600_000

/**
 * Every switch that a request body may carry under `sim`, with its limits. docs/simulator.md has one row for each,
 * and a test compares both ways. `fault` marks what `fail_first` and `flap` turn on and off; the rest always holds.
 */
export const switchTable = {
  tokens: { rule: integer(0, TOKENS_MAX), fault: false },
  prompt_tokens: { rule: integer(0, 1_000_000_000), fault: false },
  cached_tokens: { rule: integer(0, 1_000_000_000), fault: false },
  cache_write_tokens: { rule: integer(0, 1_000_000_000), fault: false },
  cache_write_1h_tokens: { rule: integer(0, 1_000_000_000), fault: false },
  reasoning_tokens: { rule: integer(0, TOKENS_MAX), fault: false },
  show_reasoning: { rule: yes, fault: false },
  tool_calls: { rule: integer(0, 64), fault: false },
  seconds: { rule: integer(0, 604_800), fault: false },
  unicode: { rule: yes, fault: false },
  usage: {
    rule: oneOf(
      'none',
      'zero',
      'negative',
      'fractional',
      'absurd',
      'inconsistent',
      'placeholder',
      'every_chunk',
      'with_choices',
    ),
    fault: false,
  },

  chunk_ms: { rule: integer(0, WAIT_MS_MAX), fault: false },
  chunk_tokens: { rule: integer(1, 10_000), fault: false },
  first_byte_ms: { rule: integer(0, WAIT_MS_MAX), fault: true },

  no_done: { rule: yes, fault: false },
  crlf: { rule: yes, fault: false },
  bom: { rule: yes, fault: false },
  comments: { rule: yes, fault: false },
  multiline_data: { rule: yes, fault: false },
  empty_first: { rule: yes, fault: false },
  split_utf8: { rule: yes, fault: false },
  one_byte: { rule: yes, fault: false },
  merge: { rule: yes, fault: false },
  gzip: { rule: yes, fault: false },
  long_line_bytes: { rule: integer(1, 32 * 1024 * 1024), fault: false },

  status: { rule: integer(400, 599), fault: true },
  retry_after: { rule: headerText(64), fault: true },
  retry_after_ms: { rule: integer(0, WAIT_MS_MAX), fault: true },
  error: { rule: object, fault: true },
  html_error: { rule: yes, fault: true },
  context_length: { rule: yes, fault: true },
  content_filter: { rule: oneOf('prompt', 'answer'), fault: true },
  reject_stream_options: { rule: yes, fault: true },
  reject_prefill: { rule: yes, fault: true },
  reject_foreign_reasoning: { rule: yes, fault: true },
  no_response: { rule: yes, fault: true },
  reset: { rule: yes, fault: true },
  error_in_200: { rule: yes, fault: true },
  error_after: { rule: integer(0, CHUNKS_MAX), fault: true },
  malformed_after: { rule: integer(0, CHUNKS_MAX), fault: true },
  stall_after: { rule: integer(0, CHUNKS_MAX), fault: true },
  stall_ms: { rule: integer(0, WAIT_MS_MAX), fault: true },
  cut_after: { rule: integer(0, CHUNKS_MAX), fault: true },
  end_after: { rule: integer(0, CHUNKS_MAX), fault: true },

  key: { rule: text(128), fault: false },
  fail_first: { rule: integer(0, 1000), fault: false },
  flap: { rule: integer(1, 1000), fault: false },
} as const satisfies Record<string, { rule: Rule<unknown>; fault: boolean }>

type SwitchTable = typeof switchTable
type SwitchName = keyof SwitchTable
type ValueOf<Row> = Row extends { rule: Rule<infer T> } ? T : never

/** The switches of one request. Absent means the well-behaved default. */
export type Switches = { readonly [Name in SwitchName]?: ValueOf<SwitchTable[Name]> }

export const NO_SWITCHES: Switches = Object.freeze({})

/** Typed switches, or what is wrong with them and where. An unknown switch is an error, never ignored. */
export function parseSwitches(value: unknown): { switches: Switches } | { problem: string; param: string } {
  if (value === undefined || value === null) return { switches: NO_SWITCHES }
  if (typeof value !== 'object' || Array.isArray(value)) {
    return { problem: "'sim' must be an object of switches.", param: 'sim' }
  }
  for (const [name, given] of Object.entries(value)) {
    const param = `sim.${name}`
    if (!isSwitch(name)) return { problem: `Unknown switch '${param}'. docs/simulator.md lists them all.`, param }
    const { rule } = switchTable[name]
    if (!rule.accepts(given)) return { problem: `'${param}' must be ${rule.expects}.`, param }
  }
  const switches = value as Switches
  const counts = switches.fail_first !== undefined || switches.flap !== undefined
  if (counts && switches.key === undefined) {
    return { problem: "'sim.fail_first' and 'sim.flap' count by 'sim.key', which is missing.", param: 'sim.key' }
  }
  return { switches }
}

/** The same switches without the faults: what a flapping upstream does while it is well. */
export function withoutFaults(switches: Switches): Switches {
  return Object.fromEntries(Object.entries(switches).filter(([name]) => isSwitch(name) && !switchTable[name].fault))
}

/** Whether any fault is asked for by name. */
export function hasFault(switches: Switches): boolean {
  return Object.entries(switches).some(([name, value]) => isSwitch(name) && switchTable[name].fault && value !== false)
}

function isSwitch(name: string): name is SwitchName {
  return Object.hasOwn(switchTable, name)
}
