// Which logs and witnesses a verifier trusts: https://c2sp.org/tlog-policy.

import { TlogFormatError } from './note.ts'
import { parseVerifierKey, type VerifierKey } from './verifier-key.ts'

const POLICY_CHARS_MAX = 65_536
const KEYS_MAX = 64
const GROUPS_MAX = 64

/** A witness by the name of its key, or so many of a group. */
type Rule = { witness: string } | { threshold: number; members: readonly Rule[] }

export interface TlogPolicy {
  logs: readonly VerifierKey[]
  witnesses: readonly VerifierKey[]
  /** Undefined where no cosignature is asked for. */
  quorum: Rule | undefined
}

/** Trusts one log and asks for no witness. */
export function policyOf(log: VerifierKey): TlogPolicy {
  return { logs: [log], witnesses: [], quorum: undefined }
}

/** Reads a policy file to the letter. Throws TlogFormatError that names the line. */
export async function parseTlogPolicy(text: string): Promise<TlogPolicy> {
  if (text.length > POLICY_CHARS_MAX)
    throw new TlogFormatError(`a policy is longer than ${POLICY_CHARS_MAX} characters`)
  const logs: VerifierKey[] = []
  const witnesses: VerifierKey[] = []
  const names = new Map<string, Rule>()
  const used = new Set<string>()
  let quorum: { rule: Rule | undefined } | undefined
  for (const [index, line] of text.split('\n').entries()) {
    const fault = (what: string) => new TlogFormatError(`line ${index + 1} of the policy: ${what}`)
    if (hasControls(line)) throw fault('there is a character that no policy may have')
    const [word, ...rest] = line.split(/[ \t]+/).filter((item) => item !== '')
    if (word === undefined || word.startsWith('#')) continue
    const define = (name: string | undefined, rule: Rule) => {
      if (name === undefined || name === 'none' || names.has(name)) throw fault('a name is missing or taken')
      names.set(name, rule)
    }
    const key = async (vkey = '') => {
      const parsed = await parseVerifierKey(vkey).catch((error: Error) => {
        throw fault(error.message)
      })
      return parsed
    }
    if (word === 'log' && (rest.length === 1 || rest.length === 2)) {
      addKey(logs, await key(rest[0]), 'note', fault)
    } else if (word === 'witness' && (rest.length === 2 || rest.length === 3)) {
      const witness = await key(rest[1])
      addKey(witnesses, witness, 'cosignature', fault)
      define(rest[0], { witness: witness.name })
    } else if (word === 'group' && rest.length >= 3 && names.size < KEYS_MAX + GROUPS_MAX) {
      const [name, threshold = '', ...members] = rest
      const rules = members.map((member) => {
        const rule = names.get(member)
        // Otherwise one witness could count twice.
        if (rule === undefined || used.has(member)) throw fault(`${member} is not defined above, or a member already`)
        used.add(member)
        return rule
      })
      define(name, { threshold: readThreshold(threshold, rules.length, fault), members: rules })
    } else if (word === 'quorum' && rest.length === 1) {
      const [name = ''] = rest
      if (quorum !== undefined) throw fault('there is a second quorum')
      const rule = names.get(name)
      if (rule === undefined && name !== 'none') throw fault(`${name} is not defined above`)
      quorum = { rule }
    } else throw fault('this is no line of a policy')
  }
  if (quorum === undefined) throw new TlogFormatError('the policy has no quorum')
  return { logs, witnesses, quorum: quorum.rule }
}

/**
 * When enough witnesses had cosigned, in Unix seconds: the earliest moment by which those that had are a quorum. Undefined when
 * they are none; zero when none is asked for.
 */
export function quorumTime(
  { quorum }: TlogPolicy,
  cosignatures: readonly { name: string; time: number }[],
): number | undefined {
  if (quorum === undefined) return 0
  const times = [...new Set(cosignatures.map(({ time }) => time))].sort((left, right) => left - right)
  return times.find((until) => {
    const by = new Set(cosignatures.filter(({ time }) => time <= until).map(({ name }) => name))
    return isMet(quorum, by)
  })
}

function isMet(rule: Rule, cosigners: ReadonlySet<string>): boolean {
  if ('witness' in rule) return cosigners.has(rule.witness)
  return rule.members.filter((member) => isMet(member, cosigners)).length >= rule.threshold
}

function addKey(
  keys: VerifierKey[],
  key: VerifierKey,
  type: VerifierKey['type'],
  fault: (what: string) => Error,
): void {
  if (key.type !== type) throw fault(`the key is for a ${key.type}, not for a ${type}`)
  if (keys.length >= KEYS_MAX) throw fault(`there are more than ${KEYS_MAX} keys`)
  // Cosigners are told apart by the names of their keys, so two keys cannot share one either.
  if (keys.some((other) => other.publicKey.join() === key.publicKey.join() || other.name === key.name))
    throw fault('the key, or its name, stands there already')
  keys.push(key)
}

function readThreshold(text: string, members: number, fault: (what: string) => Error): number {
  if (text === 'any') return 1
  if (text === 'all') return members
  const number = /^[1-9][0-9]?$/.test(text) ? Number(text) : 0
  if (number < 1 || number > members) throw fault('the threshold is not any, all, or a number of the members')
  return number
}

function hasControls(line: string): boolean {
  for (let at = 0; at < line.length; at += 1) {
    const unit = line.charCodeAt(at)
    if ((unit < 0x20 && unit !== 0x09) || unit === 0x7f) return true
  }
  return false
}
