import { z } from 'zod'
import { readDuration } from './duration.ts'
import {
  across,
  type CheckContext,
  filledList,
  integer,
  isMapping,
  list,
  mapping,
  reading,
  report,
  text,
  unsupported,
  word,
} from './fields.ts'
import { checkDnsLabel, quote } from './kubernetes-name.ts'
import { type Manifest, manifest } from './manifest.ts'
import { metadata } from './metadata.ts'
import { selector } from './selector.ts'
import { checkReadableName, checkReadableResponseName, checkWritableName } from './wasm-policy-fields.ts'

/** A policy that users bring as a WebAssembly module; docs/policy-abi.md says what the module must be. */
export type WasmPolicy = Manifest<'mayfly.dev/v1', 'WasmPolicy', WasmPolicySpec>
export type WasmPolicySpec = z.output<typeof wasmPolicySpec>
export type WasmPolicyState = z.output<typeof state>
export type WasmPolicyStateKey = z.output<typeof stateKey>
/** What a policy may ask to be told of a request beside header fields and claims. */
export type WasmPolicyAttribute = (typeof ATTRIBUTES)[number]

const ATTRIBUTES = [
  'method',
  'path',
  'query',
  'authority',
  'principal',
  'clientAddress',
  'direction',
  'time',
] as const

/** Most bytes of the configuration as JSON. */
export const MAX_CONFIGURATION = 8_192
const MAX_NAMES = 32
const MAX_STATES = 8
const SECOND = 1_000
const DAY = 24 * 3_600 * SECOND

const headers = list(text(checkReadableName), MAX_NAMES).default([])
const claims = list(text(checkClaim), MAX_NAMES).default([])
const writable = list(text(checkWritableName), MAX_NAMES).default([])

const gateways = unsupported('gateways and waypoints are not resources here: use selector')

const stateKey = across(
  mapping({
    from: word(['header', 'claim', 'principal', 'clientAddress', 'module', 'constant']),
    /** The header field's or claim's. */
    name: text().optional(),
  }),
  checkStateKey,
)

const state = across(
  mapping({
    name: text(checkDnsLabel),
    type: word(['counter', 'set', 'lastWriter']),
    key: stateKey,
    /** Fixed windows, aligned to the epoch; what is stored is forgotten at its window's end. */
    window: reading(readWindow),
    scope: word(['node', 'cluster']).default('node'),
    /** Keys that are remembered at once; with one more the policy fails for that request. */
    maxKeys: integer(1, 1_000_000).default(10_000),
    /** Of a set; left out: 16. */
    maxMembers: integer(1, 64).optional(),
    /** Bytes of a set's member or of a last writer's value; left out: 64. */
    maxValueBytes: integer(1, 1_024).optional(),
  }),
  checkState,
)

const wasmPolicySpec = across(
  mapping({
    selector: selector.optional(),
    targetRef: gateways,
    targetRefs: gateways,
    module: mapping({
      /** Relative to the folder of the manifest's file. */
      file: text(checkFile),
      /** In hexadecimal; the module is refused where its bytes have another one. */
      sha256: text(checkSha256).optional(),
    }),
    phases: filledList(word(['request', 'response']), 2).default(['request']),
    order: mapping({
      position: word(['before', 'after']).default('before'),
      /** Policies of one position run in ascending order of it, then of namespace and name. */
      priority: integer(-1_000, 1_000).default(0),
    }).prefault({}),
    reads: mapping({
      attributes: list(word(ATTRIBUTES), ATTRIBUTES.length).default([]),
      headers,
      responseHeaders: list(text(checkReadableResponseName), MAX_NAMES).default([]),
      claims,
    }).prefault({}),
    writes: mapping({ headers: writable, responseHeaders: writable }).prefault({}),
    configuration: z.any().superRefine(checkConfiguration).optional(),
    state: list(state, MAX_STATES).default([]),
    limits: mapping({
      /** Pages of 64 KiB; left out: as many as the module asks for. */
      memoryPages: integer(1, 16).optional(),
      /** Instructions of one phase. */
      fuel: integer(1_000, 5_000_000).default(200_000),
    }).prefault({}),
    /** What a module may be whose freshness cannot be proved: refused, or run in a new instance each time. */
    freshness: word(['proved', 'newInstance']).default('proved'),
    /** What becomes of a request on which the module fails. */
    onFailure: word(['deny', 'allow']).default('deny'),
  }),
  checkSpec,
)

export const wasmPolicyManifest = manifest(['mayfly.dev/v1'], 'WasmPolicy', metadata(), wasmPolicySpec)

/** A claim's path: `sub`, or `realm_access[roles]` for one inside another. */
export function claimPathOf(claim: string): string[] {
  return claim.replaceAll(']', '').split('[')
}

function checkSpec(spec: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const phases: unknown[] = Array.isArray(spec.phases) ? spec.phases : ['request']
  const reads = isMapping(spec.reads) ? spec.reads : {}
  const writes = isMapping(spec.writes) ? spec.writes : {}
  checkTwice(phases, ['phases'], context)
  for (const [part, from] of [
    ['reads', reads],
    ['writes', writes],
  ] as const) {
    for (const [field, names] of Object.entries(from)) checkTwice(names, [part, field], context)
  }
  const states: unknown[] = Array.isArray(spec.state) ? spec.state : []
  checkTwice(
    states.map((one) => (isMapping(one) ? one.name : undefined)),
    ['state'],
    context,
  )
  if (!phases.includes('response') && isFilled(reads.responseHeaders)) {
    report(context, 'conflict', 'response header fields are read in the response phase: add it to phases', [
      'reads',
      'responseHeaders',
    ])
  }
  checkClaimsAreKnown(spec, reads, states, context)
  if (phases.includes('request')) return
  for (const [part, field, given] of [
    ['reads', 'headers', reads.headers],
    ['reads', 'claims', reads.claims],
    ['reads', 'attributes', withoutTime(reads.attributes)],
    ['writes', 'headers', writes.headers],
  ] as const) {
    if (!isFilled(given)) continue
    report(context, 'conflict', 'this is of the request phase: add it to phases', [part, field])
  }
  if (states.length > 0) {
    report(context, 'conflict', 'keys of state are found in the request phase: add it to phases', ['state'])
  }
}

/** Tokens are read by the built-in chain. */
function checkClaimsAreKnown(
  spec: Readonly<Record<string, unknown>>,
  reads: Readonly<Record<string, unknown>>,
  states: readonly unknown[],
  context: CheckContext,
): void {
  const order = isMapping(spec.order) ? spec.order : {}
  if ((order.position ?? 'before') !== 'before') return
  const why = 'claims are known behind the built-in authentication only: set order.position to after'
  if (isFilled(reads.claims)) report(context, 'conflict', why, ['reads', 'claims'])
  states.forEach((state, index) => {
    const key = isMapping(state) && isMapping(state.key) ? state.key : {}
    if (key.from === 'claim') report(context, 'conflict', why, ['state', index, 'key', 'from'])
  })
}

function withoutTime(attributes: unknown): unknown {
  return Array.isArray(attributes) ? attributes.filter((one) => one !== 'time') : attributes
}

function isFilled(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0
}

function checkTwice(names: unknown, path: PropertyKey[], context: CheckContext): void {
  if (!Array.isArray(names)) return
  names.forEach((name: unknown, index) => {
    if (typeof name === 'string' && names.indexOf(name) < index) {
      report(context, 'conflict', `${quote(name)} is listed twice`, [...path, index])
    }
  })
}

function checkStateKey(key: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const isNamed = key.from === 'header' || key.from === 'claim'
  if (isNamed && key.name === undefined) {
    report(context, 'missing-field', `name the ${key.from} whose value is the key`, ['name'])
  }
  if (typeof key.name !== 'string') return
  if (!isNamed) return report(context, 'conflict', 'only a header or a claim has a name here', ['name'])
  const wrong = key.from === 'header' ? checkReadableName(key.name) : checkClaim(key.name)
  if (wrong) report(context, 'bad-value', wrong, ['name'])
}

function checkState(state: Readonly<Record<string, unknown>>, context: CheckContext): void {
  if (state.maxMembers !== undefined && state.type !== 'set') {
    report(context, 'conflict', 'only a set has members', ['maxMembers'])
  }
  if (state.maxValueBytes !== undefined && state.type === 'counter') {
    report(context, 'conflict', 'a counter has no bytes', ['maxValueBytes'])
  }
}

function readWindow(value: string) {
  const read = readDuration(value)
  if (!read.ok || (read.value >= SECOND && read.value <= DAY)) return read
  return { ok: false, problem: `${quote(value)}: a window is between 1s and 24h long` } as const
}

function checkFile(value: string): string | null {
  const isInside = !value.startsWith('/') && !value.includes('\\') && !value.split('/').includes('..')
  if (isInside && value.endsWith('.wasm')) return null
  return `${quote(value)}: expected the path of a .wasm file below the manifest's own folder, without ".."`
}

function checkSha256(value: string): string | null {
  return /^[0-9a-f]{64}$/.test(value) ? null : 'expected 64 hexadecimal digits in lower case'
}

function checkClaim(value: string): string | null {
  return CLAIM.test(value) ? null : `${quote(value)} is not a claim: write NAME, nested claims as NAME[INNER]`
}

function checkConfiguration(value: unknown, context: CheckContext): void {
  if (value === undefined) return
  const size = Buffer.byteLength(JSON.stringify(value) ?? '')
  if (size > MAX_CONFIGURATION) {
    report(
      context,
      'too-large',
      `takes ${size} bytes as JSON, at most ${MAX_CONFIGURATION} are given to a module`,
    )
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are refused
const CLAIM = /^[^[\]\x00-\x1f\x7f]+(\[[^[\]\x00-\x1f\x7f]+\])*$/
