// Answers NEED_SIGNATURE: whether a token's signature is right by the keys of one of the rules that the sidecar names. The key of the
// need comes out of a sandbox that read what anyone may have sent: of what it says, only what is checked here counts.

import { hash } from 'node:crypto'
import {
  ALGORITHMS,
  MOST_TOKEN,
  SIGNATURE_ALGORITHM,
  SIGNATURE_HEADER,
  SIGNATURE_KID_LENGTH,
  SIGNATURE_NO_KEY,
  SIGNATURE_NO_KEYS,
  SIGNATURE_RULES,
  SIGNATURE_WRONG,
} from '../sidecar/layout/authentication.ts'
import type { TokenRuleSlice } from './engine-messages.ts'
import type { EngineKey, KeySet, KeySets } from './key-sets.ts'
import type { Answerer } from './needs.ts'
import { TokenCache, type Verdict } from './token-cache.ts'
import { verifySignature } from './verify-signature.ts'

/** What a need asks. */
interface Question {
  readonly algorithm: string
  readonly key: Buffer
  /** Where in the key the kid ends, the last dot of the token stands, and the token ends. */
  readonly kidEnd: number
  readonly dot: number
  readonly tokenEnd: number
  readonly rules: readonly TokenRuleSlice[]
  /** Of the token and of what is said of it. */
  readonly hash: string
}

type Outcome =
  | { readonly kind: 'answer'; readonly answer: number }
  /** Keys may come within that time. */
  | { readonly kind: 'wait'; readonly ids: readonly string[]; readonly timeoutMs: number }

export class TokenSignatures {
  readonly counters = {
    tokensVerified: 0,
    tokensRecalled: 0,
    tokensWrong: 0,
    tokensWithoutKey: 0,
    tokensWithoutKeys: 0,
  }
  readonly cache: TokenCache
  readonly #keySets: KeySets

  constructor(keySets: KeySets, now: () => number) {
    this.#keySets = keySets
    this.cache = new TokenCache(now)
  }

  /** Answers at once where the keys are there. */
  readonly answer: Answerer = ({ key }, entry) => {
    const question = readQuestion(key, entry.slice.tokenRules ?? NO_RULES)
    const outcome = this.#judge(question, true)
    return outcome.kind === 'answer' ? this.#answer(outcome.answer) : this.#later(question, outcome)
  }

  async #later(question: Question, { ids, timeoutMs }: Extract<Outcome, { kind: 'wait' }>): Promise<Buffer> {
    await Promise.all(ids.map((id) => this.#keySets.renewed(id, timeoutMs)))
    const outcome = this.#judge(question, false)
    return this.#answer(outcome.kind === 'answer' ? outcome.answer : SIGNATURE_NO_KEYS)
  }

  #judge(question: Question, mayWait: boolean): Outcome {
    const known = this.cache.get(question.hash) ?? NOTHING_KNOWN
    const verdicts: Verdict[] = []
    const awaited: { id: string; timeoutMs: number }[] = []
    let answer: number = SIGNATURE_NO_KEY
    for (const [place, { keySet, timeoutMs }] of question.rules.entries()) {
      const state = this.#keySets.state(keySet)
      if (state.kind !== 'there') {
        if (state.kind === 'awaited') awaited.push({ id: keySet, timeoutMs })
        if (answer === SIGNATURE_NO_KEY) answer = SIGNATURE_NO_KEYS
        continue
      }
      const { set } = state
      const before = known.find((verdict) => verdict.set === set)
      if (before?.valid) {
        this.counters.tokensRecalled++
        if (verdicts.length > 0) this.#remember(question.hash, verdicts, known)
        return { kind: 'answer', answer: place }
      }
      if (before) {
        answer = SIGNATURE_WRONG
        continue
      }
      const keys = keysFor(set, question)
      if (keys.length === 0) {
        if (mayWait && this.#keySets.mayRenew(set)) awaited.push({ id: keySet, timeoutMs })
        continue
      }
      const valid = this.#verify(question, keys)
      verdicts.push({ set, valid })
      if (valid) {
        this.#remember(question.hash, verdicts, known)
        return { kind: 'answer', answer: place }
      }
      answer = SIGNATURE_WRONG
    }
    if (!mayWait || awaited.length === 0) return { kind: 'answer', answer }
    const ids = [...new Set(awaited.map(({ id }) => id))]
    return { kind: 'wait', ids, timeoutMs: Math.max(...awaited.map(({ timeoutMs }) => timeoutMs)) }
  }

  #verify({ algorithm, key: asked, kidEnd, dot, tokenEnd }: Question, keys: readonly EngineKey[]): boolean {
    const signed = asked.subarray(kidEnd, dot)
    const text = asked.toString('latin1', dot + 1, tokenEnd)
    const signature = Buffer.from(text, 'base64url')
    // The platform reads more than base64url, and the sidecar should have let nothing else pass.
    if (signature.toString('base64url') !== text)
      throw new Error('a signature is asked for that is no base64url')
    return keys.some(({ key }) => {
      this.counters.tokensVerified++
      return verifySignature(algorithm, key, signed, signature)
    })
  }

  /** Only where one of them is good: whoever sends wrong tokens takes no room from the others. */
  #remember(hash: string, verdicts: readonly Verdict[], known: readonly Verdict[]): void {
    this.cache.set(hash, [...verdicts, ...known].slice(0, MOST_VERDICTS))
  }

  #answer(answer: number): Buffer {
    if (answer === SIGNATURE_WRONG) this.counters.tokensWrong++
    else if (answer === SIGNATURE_NO_KEY) this.counters.tokensWithoutKey++
    else if (answer === SIGNATURE_NO_KEYS) this.counters.tokensWithoutKeys++
    const bytes = Buffer.allocUnsafe(4)
    bytes.writeUInt32LE(answer)
    return bytes
  }
}

/** Keys of the token's kind and name; one that has no name, and any for a token that names none. */
function keysFor({ keys }: KeySet, { algorithm, key: asked, kidEnd }: Question): EngineKey[] {
  const kid = asked.toString('utf8', SIGNATURE_HEADER, kidEnd)
  return keys.filter((key) => {
    if (!key.algorithms.includes(algorithm)) return false
    return kid === '' || key.kid === '' || key.kid === kid
  })
}

function readQuestion(key: Buffer, tokenRules: readonly TokenRuleSlice[]): Question {
  if (key.length < SIGNATURE_HEADER) throw new Error('a signature is asked for without a question')
  const count = key.readUInt16LE(SIGNATURE_RULES)
  const algorithm = ALGORITHMS[key.readUInt16LE(SIGNATURE_ALGORITHM)]
  const kidEnd = SIGNATURE_HEADER + key.readUInt32LE(SIGNATURE_KID_LENGTH)
  const tokenEnd = key.length - 2 * count
  if (!algorithm || count === 0 || kidEnd >= tokenEnd || tokenEnd - kidEnd > MOST_TOKEN)
    throw new Error('a signature is asked for in a form that nobody knows')
  const rules: TokenRuleSlice[] = []
  for (let at = tokenEnd; at < key.length; at += 2) {
    const rule = tokenRules[key.readUInt16LE(at)]
    if (!rule) throw new Error('a signature is asked for by a rule that the function does not have')
    rules.push(rule)
  }
  const dot = key.lastIndexOf(DOT, tokenEnd - 1)
  if (dot <= kidEnd) throw new Error('a signature is asked for that no token has')
  return {
    algorithm,
    key,
    kidEnd,
    dot,
    tokenEnd,
    rules,
    hash: hash('sha256', key.subarray(SIGNATURE_ALGORITHM, tokenEnd), 'base64'),
  }
}

/** Of one token by several key sets. */
const MOST_VERDICTS = 8
const NO_RULES: readonly TokenRuleSlice[] = []
const DOT = 0x2e
const NOTHING_KNOWN: readonly Verdict[] = []
