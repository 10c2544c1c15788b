import type { StageRecord } from '../dataplane/decision-ring.ts'
import { BOTH_SIDES, type ConnectionFacts, type DecisionRun, type Sidecars } from '../dataplane/sidecar.ts'
import { readTakenRoute } from '../dataplane/taken-route.ts'
import {
  DIRECTION_INBOUND,
  DIRECTION_INGRESS,
  DIRECTION_OUTBOUND,
  IN_FLAG_SERVE,
  REASON_ROUTE,
  VERDICT_SIZE,
} from '../sidecar/layout/record.ts'
import type { CompiledFunction, CompiledMesh } from './compile-mesh.ts'
import { directionText, needText, policyText, ruleText, verdictText } from './verdict-text.ts'

/** A request to be judged without being sent. */
export interface ExplainedRequest {
  /** "namespace/name" */
  to: string
  /** The calling function, "namespace/name"; null: from outside, through the gateway. */
  from: string | null
  method: string
  path: string
  headers: [string, string][]
  /** The peer's address. */
  sourceIp: Uint8Array
}

export interface ExplainedVerdict {
  function: string
  direction: string
  policy: string
  verdict: string
  /** "AuthorizationPolicy shop/allow-cart rule 0 (policies.yaml:12)"; null where no rule decided. */
  rule: string | null
}

export interface Explanation {
  /** undecided: policies need what only a real request brings. */
  /** answered: a route answers it itself. */
  outcome: 'allowed' | 'answered' | 'denied' | 'refused' | 'undecided'
  status: number
  /** What the client of a denied request is told. */
  text: string
  verdicts: ExplainedVerdict[]
  /** What the sandboxes typically take for it, in microseconds. */
  microseconds: number
}

/** Judges `request` by the sidecars themselves, as an engine would. The mesh must have both functions. */
export function explainRequest(
  mesh: CompiledMesh,
  sidecars: Sidecars,
  request: ExplainedRequest,
): Explanation {
  const to = mesh.functions.get(request.to)!
  const from = request.from === null ? null : mesh.functions.get(request.from)!
  if (!from && to.spec.clusterLocal) return notServed(to)
  const head = Buffer.from(requestHead(mesh, to, from, request), 'latin1')
  const facts: ConnectionFacts = {
    direction: from ? DIRECTION_OUTBOUND : DIRECTION_INGRESS,
    peer: '',
    sourceIp: request.sourceIp,
    sourcePort: 40_000,
    localIp: request.sourceIp,
    localPort: 80,
    tls: false,
  }
  const run = (records: StageRecord[]) =>
    from
      ? judgeCall(mesh, sidecars, facts, head, from, to, records)
      : judgeCallee(mesh, sidecars, facts, head, to, records)
  const records: StageRecord[] = []
  const decision = run(records)
  const microseconds = typicalMicroseconds(() => run([]))
  const verdicts = records.flatMap((record) => explainRecord(mesh, record))
  if (decision.kind === 'forward')
    return { outcome: 'allowed', status: 200, text: '', verdicts, microseconds }
  if (decision.kind === 'failed')
    return { outcome: 'refused', status: 500, text: decision.reason, verdicts, microseconds }
  if (decision.kind === 'needs') {
    const needs = [...new Set(decision.needs.map(({ kind }) => needText(kind)))].join(' and ')
    return { outcome: 'undecided', status: 0, text: `it depends on ${needs}`, verdicts, microseconds }
  }
  const { status, text, reason } = decision.denial
  const outcome = reason === REASON_ROUTE ? 'answered' : status === 403 ? 'denied' : 'refused'
  return { outcome, status, text, verdicts, microseconds }
}

/** The gateway does not know the name, whatever policies say. */
function notServed({ spec }: CompiledFunction): Explanation {
  const text = `the gateway does not serve ${spec.key}, which is cluster-local: only functions may call it`
  return { outcome: 'refused', status: 404, text, verdicts: [], microseconds: 0 }
}

/** The median of several runs: the first ones of a new module are slower than an engine, which is warm, ever sees. */
function typicalMicroseconds(run: () => void): number {
  const times = Array.from({ length: 301 }, () => {
    const startedAt = performance.now()
    run()
    return (performance.now() - startedAt) * 1000
  })
  return Math.round(times.sort((a, b) => a - b)[150]! * 10) / 10
}

/** The verdicts of one sidecar, with the rules' names where the policy that judged is still known. */
export function explainRecord(mesh: CompiledMesh, record: StageRecord): ExplainedVerdict[] {
  const compiled = mesh.functions.get(record.function)?.policy
  const rules = compiled?.hash === record.policyHash ? compiled.rules : null
  const bytes = Buffer.from(record.verdicts)
  const verdicts: ExplainedVerdict[] = []
  for (let at = 0; at + VERDICT_SIZE <= bytes.length; at += VERDICT_SIZE) {
    const policy = bytes.readUInt8(at)
    const rule = bytes.readUInt16LE(at + 2)
    verdicts.push({
      function: record.function,
      direction: directionText(record.direction),
      policy: policyText(policy),
      verdict: verdictText(bytes.readUInt8(at + 1)),
      rule: ruleText(rules, policy, rule),
    })
  }
  return verdicts
}

function judgeCall(
  mesh: CompiledMesh,
  sidecars: Sidecars,
  facts: ConnectionFacts,
  head: Buffer,
  from: CompiledFunction,
  to: CompiledFunction,
  records: StageRecord[],
): DecisionRun {
  const outbound = judge(sidecars, facts, head, from, to, records)
  if (outbound.kind !== 'forward') return outbound
  const inner = { ...facts, direction: DIRECTION_INBOUND, peer: from.spec.principal }
  return judgeCallee(mesh, sidecars, inner, outbound.head, to, records)
}

/** Judges by the callee, and by the function that its route leads to where that is another one. */
function judgeCallee(
  mesh: CompiledMesh,
  sidecars: Sidecars,
  facts: ConnectionFacts,
  head: Buffer,
  to: CompiledFunction,
  records: StageRecord[],
): DecisionRun {
  const decision = judge(sidecars, facts, head, to, to, records)
  if (decision.kind !== 'forward') return decision
  const key = readTakenRoute(decision.route, to.routes)?.destination?.function ?? to.spec.key
  const other = key === to.spec.key ? undefined : mesh.functions.get(key)
  if (!other) return decision
  return judge(sidecars, { ...facts, forwarded: true }, decision.head, other, other, records, IN_FLAG_SERVE)
}

function judge(
  sidecars: Sidecars,
  facts: ConnectionFacts,
  head: Buffer,
  by: CompiledFunction,
  to: CompiledFunction,
  records: StageRecord[],
  sides = BOTH_SIDES,
): DecisionRun {
  const opened = sidecars.open(head, 0, head.length, facts, Date.now(), Buffer.alloc(48, 1))
  if (opened.kind === 'incomplete') return { kind: 'failed', reason: 'the request is not a whole head' }
  if (opened.kind !== 'opened') return opened
  const decision = sidecars.judge(by.policy.bytes, to.spec.key, to.spec.port, sides, [])
  const verdicts =
    decision.kind === 'forward'
      ? decision.verdicts
      : decision.kind === 'denied'
        ? decision.denial.verdicts
        : Buffer.alloc(0)
  records.push({ function: by.spec.key, policyHash: by.policy.hash, direction: facts.direction, verdicts })
  return decision
}

function requestHead(
  mesh: CompiledMesh,
  to: CompiledFunction,
  from: CompiledFunction | null,
  request: ExplainedRequest,
): string {
  const { name, namespace } = to.spec
  const host = from ? `${name}.${namespace}` : `${name}.${namespace}.${mesh.config.domain}`
  const fields = request.headers.map(([field, value]) => `${field}: ${value}\r\n`).join('')
  return `${request.method} ${request.path} HTTP/1.1\r\nhost: ${host}\r\n${fields}\r\n`
}
