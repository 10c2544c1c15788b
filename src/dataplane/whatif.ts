// What other policies would have said to the requests of which this engine remembers the inputs. It runs between requests, a few
// milliseconds at a time.

import {
  DIRECTION_INBOUND,
  DIRECTION_OUTBOUND,
  IN_DIRECTION,
  IN_HEAD_LEN,
  IN_HEAD_PTR,
  IN_PEER_PTR,
  IN_TARGET_PTR,
  IN_TIME,
  NO_RULE,
  POLICY_AUTHORIZATION,
  VERDICT_ALLOW,
  VERDICT_DENY,
  VERDICT_SIZE,
} from '../sidecar/layout/record.ts'
import { bytesAt, type DecisionInput, inboundInput, inputText } from './decision-input.ts'
import type { EngineContext } from './engine-context.ts'
import { redactHead } from './redaction.ts'
import { type AnswerBook, answerBook, type Redecider, redecide } from './redecide.ts'

/** Another state of the mesh: functions whose policy is another one, and functions that are not there. */
export interface OtherPolicies {
  changed: { key: string; policy: Uint8Array }[]
  removed: string[]
}

export interface WhatIfAnswer {
  /** Requests that were judged both ways. */
  requests: number
  /** Requests of functions that are not there any more. */
  skipped: number
  /** By what came of them, before and after; the same pair once. */
  outcomes: OutcomePair[]
  /** Pairs beyond MOST_PAIRS are only counted. */
  dropped: number
}

export interface OutcomePair {
  before: Outcome
  after: Outcome
  count: number
  /** The latest ones. */
  examples: RequestExample[]
}

export interface Outcome {
  /** undecided: it depends on `needs`, which nobody asked then. gone: the function is not there. */
  kind: 'allowed' | 'denied' | 'failed' | 'undecided' | 'gone'
  status: number
  /** "namespace/name" of the function whose policy decided. */
  function: string
  direction: number
  /** POLICY_* and the number of its rule in that function's compiled policy; NO_RULE: none. */
  policy: number
  rule: number
  /** NEED_* kinds. */
  needs: number[]
}

export interface RequestExample {
  requestId: string
  /** Milliseconds since the epoch. */
  time: number
  method: string
  target: string
  /** The calling function's principal; "" from outside. */
  from: string
  to: string
}

/** One request: what the caller's and the callee's sidecars were given. */
type Chain = DecisionInput[]

const MOST_PAIRS = 1_000
const MOST_EXAMPLES = 3
/** How long requests may wait for it at a time. */
const SLICE_MS = 2

export async function whatIf(engine: EngineContext, other: OtherPolicies): Promise<WhatIfAnswer> {
  const answer: WhatIfAnswer = { requests: 0, skipped: 0, outcomes: [], dropped: 0 }
  const { redecide: again } = engine.sidecars
  if (!again) return answer
  const sidecars: Redecider = { redecide: again.bind(engine.sidecars) }
  const now = (key: string) => engine.functions.get(key)?.policy ?? null
  const changed = new Map(other.changed.map(({ key, policy }) => [key, Buffer.from(policy)]))
  const removed = new Set(other.removed)
  const then = (key: string) => (removed.has(key) ? null : (changed.get(key) ?? now(key)))
  const principalOf = (key: string) => engine.functions.get(key)?.slice.principal ?? ''
  const pairs = new Map<string, OutcomePair>()
  let since = performance.now()
  for (const chain of chainsOf(engine.inputs.all())) {
    if (chain.some((input) => now(input.function) === null)) {
      answer.skipped++
      continue
    }
    const books = chain.map((input) => answerBook(sidecars, input, now(input.function)!))
    const before = outcomeOf(sidecars, chain, books, now, null)
    // A call that the caller's own policies refused then was not seen by its callee; one that they let through was, here or on
    // another node, which has the rest of it.
    const wasRefused = before.kind === 'denied' && before.direction === DIRECTION_OUTBOUND
    const after = outcomeOf(sidecars, chain, books, then, wasRefused ? principalOf : null)
    answer.requests++
    if (!note(pairs, before, after, chain)) answer.dropped++
    if (performance.now() - since > SLICE_MS) {
      await new Promise((resolve) => setImmediate(resolve))
      since = performance.now()
    }
  }
  answer.outcomes = [...pairs.values()]
  return answer
}

/** The inputs by request: a callee's belongs to the caller's before it that names it as the target. */
function chainsOf(inputs: readonly DecisionInput[]): Chain[] {
  const chains: Chain[] = []
  const open = new Map<string, Chain>()
  for (const input of inputs) {
    const direction = input.bytes.readUInt32LE(IN_DIRECTION)
    const call = `${input.requestId} ${direction === DIRECTION_OUTBOUND ? inputText(input, IN_TARGET_PTR) : input.function}`
    const caller = direction === DIRECTION_INBOUND ? open.get(call) : undefined
    if (caller) {
      caller.push(input)
      open.delete(call)
      continue
    }
    const chain = [input]
    chains.push(chain)
    if (direction === DIRECTION_OUTBOUND) open.set(call, chain)
  }
  return chains
}

type PolicyOf = (key: string) => Buffer | null

function outcomeOf(
  sidecars: Redecider,
  chain: Chain,
  books: readonly AnswerBook[],
  policyOf: PolicyOf,
  /** Lets a call that its callee has not seen go on to that; null: it ends with its caller's part. */
  principalOf: ((key: string) => string) | null,
): Outcome {
  const inputs = [...chain]
  for (let i = 0; ; i++) {
    const input = inputs[i]!
    const direction = input.bytes.readUInt32LE(IN_DIRECTION)
    const said = { function: input.function, direction, policy: 0, rule: NO_RULE, needs: [] }
    const policy = policyOf(input.function)
    if (policy === null) return { ...said, kind: 'gone', status: 404 }
    const decision = redecide(sidecars, input, policy, books[i] ?? new Map())
    switch (decision.kind) {
      case 'failed':
        return { ...said, kind: 'failed', status: 500 }
      case 'undecided':
        return { ...said, kind: 'undecided', status: 0, needs: decision.needs.map(({ kind }) => kind) }
      case 'denied': {
        const by = lastVerdict(decision.denial.verdicts, VERDICT_DENY, null)
        return { ...said, ...by, kind: 'denied', status: decision.denial.status }
      }
      case 'forward': {
        const target = inputText(input, IN_TARGET_PTR)
        if (inputs.length === i + 1 && direction === DIRECTION_OUTBOUND && principalOf) {
          inputs.push(inboundInput(input, decision.head, target, principalOf(input.function)))
        }
        if (inputs.length === i + 1) {
          const by = lastVerdict(decision.verdicts, VERDICT_ALLOW, POLICY_AUTHORIZATION)
          return { ...said, ...by, kind: 'allowed', status: 0 }
        }
      }
    }
  }
}

/** Who said it last: of all policies, or of one. */
function lastVerdict(verdicts: Buffer, verdict: number, of: number | null): { policy: number; rule: number } {
  for (let at = verdicts.length - VERDICT_SIZE; at >= 0; at -= VERDICT_SIZE) {
    const policy = verdicts[at]!
    if (verdicts[at + 1] === verdict && (of === null || policy === of)) {
      return { policy, rule: verdicts.readUInt16LE(at + 2) }
    }
  }
  return { policy: of ?? 0, rule: NO_RULE }
}

function note(pairs: Map<string, OutcomePair>, before: Outcome, after: Outcome, chain: Chain): boolean {
  const key = JSON.stringify([before, after])
  let pair = pairs.get(key)
  if (!pair) {
    if (pairs.size === MOST_PAIRS) return false
    pair = { before, after, count: 0, examples: [] }
    pairs.set(key, pair)
  }
  pair.count++
  pair.examples.push(exampleOf(chain))
  if (pair.examples.length > MOST_EXAMPLES) pair.examples.shift()
  return true
}

function exampleOf(chain: Chain): RequestExample {
  const first = chain[0]!
  const { bytes } = first
  const head = bytesAt(first, bytes.readUInt32LE(IN_HEAD_PTR), bytes.readUInt32LE(IN_HEAD_LEN))
  const { method, target } = redactHead(head)
  const isCall = bytes.readUInt32LE(IN_DIRECTION) === DIRECTION_OUTBOUND
  return {
    requestId: first.requestId,
    time: Number(bytes.readBigUInt64LE(IN_TIME)),
    method,
    target: target.slice(0, MOST_SHOWN),
    from: isCall ? first.function : inputText(first, IN_PEER_PTR),
    to: inputText(first, IN_TARGET_PTR),
  }
}

const MOST_SHOWN = 200
