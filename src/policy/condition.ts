import {
  ATTRIBUTE_AUTHORITY,
  ATTRIBUTE_CLAIM,
  ATTRIBUTE_DESTINATION_IP,
  ATTRIBUTE_HEADER,
  ATTRIBUTE_HOST,
  ATTRIBUTE_METHOD,
  ATTRIBUTE_NAMESPACE,
  ATTRIBUTE_PATH,
  ATTRIBUTE_PORT,
  ATTRIBUTE_PRINCIPAL,
  ATTRIBUTE_REMOTE_IP,
  ATTRIBUTE_REQUEST_PRINCIPAL,
  ATTRIBUTE_SNI,
  ATTRIBUTE_SOURCE_IP,
  CONDITION_NOT,
} from '../sidecar/layout/authorization.ts'
import { ByteWriter } from './byte-writer.ts'
import { parseIpBlock, writeIpBlock } from './ip-block.ts'
import { isPathTemplate, parsePathTemplate } from './path-template.ts'
import { encodeStringList, listProblem, parseStringMatch, type StringMatch } from './string-match.ts'
import { expandTrustDomains, type TrustDomains } from './trust-domain.ts'

/** What a condition is about. */
export type Attribute =
  | {
      readonly kind: 'text'
      readonly of: 'method' | 'host' | 'authority' | 'principal' | 'namespace' | 'sni'
    }
  | { readonly kind: 'path' }
  | { readonly kind: 'serviceAccount'; readonly namespace: string }
  | { readonly kind: 'port' }
  | { readonly kind: 'ip'; readonly of: 'source' | 'remote' | 'destination' }
  | { readonly kind: 'header'; readonly name: string }
  | { readonly kind: 'requestPrincipal' }
  | { readonly kind: 'claim'; readonly path: readonly string[] }

/** One list of values of a policy: an attribute must match one of them, or (`negated`) none. */
export interface Condition {
  readonly attribute: Attribute
  readonly negated: boolean
  readonly values: readonly string[]
}

export type EncodedCondition =
  | { readonly ok: true; readonly bytes: Buffer; readonly cost: number }
  | { readonly ok: false; readonly code: 'too-large' | 'bad-value'; readonly problem: string }

/** A condition block of sidecar/layout/authorization.ts. `cost` orders a group: cheaper conditions are judged first. */
export function encodeCondition(condition: Condition, domains: TrustDomains): EncodedCondition {
  const payload = encodePayload(condition, domains)
  if (!payload.ok) return payload
  const { attribute, negated } = condition
  const id = attributeId(attribute)
  const out = new ByteWriter()
  out.block(() => {
    out.u16(id).u16(negated ? CONDITION_NOT : 0)
    out.bytes(payload.bytes)
  })
  return { ok: true, bytes: out.finish(), cost: id }
}

/** FNV-1a of a field name in lower case, as the sidecar hashes what it reads. */
export function fieldNameHash(name: string): number {
  let hash = 2166136261
  for (const byte of Buffer.from(name.toLowerCase(), 'utf8')) hash = Math.imul(hash ^ byte, 16777619)
  return hash >>> 0
}

type Payload =
  | { readonly ok: true; readonly bytes: Buffer }
  | { readonly ok: false; readonly code: 'too-large' | 'bad-value'; readonly problem: string }

function encodePayload({ attribute, values }: Condition, domains: TrustDomains): Payload {
  switch (attribute.kind) {
    case 'text': {
      // Istio takes an asterisk anywhere in a namespace; as an exact text it would silently match nothing.
      const odd =
        attribute.of === 'namespace' &&
        values.find((value) => value.slice(1, -1).includes('*') || /^\*.+\*$/.test(value))
      if (odd) return { ok: false, code: 'bad-value', problem: `${JSON.stringify(odd)}: ${ONE_ASTERISK}` }
      return stringList(textValues(attribute.of, values, domains).map(parseStringMatch))
    }
    case 'serviceAccount':
      return stringList(values.map((value) => serviceAccountMatch(value, attribute.namespace)))
    case 'path':
      return pathList(values)
    case 'port':
      return portList(values)
    case 'ip':
      return ipList(values)
    case 'header': {
      const name = Buffer.from(attribute.name.toLowerCase(), 'utf8')
      const subject = new ByteWriter().u32(fieldNameHash(attribute.name)).u32(name.length).bytes(name).align()
      return after(subject, stringList(values.map(headerMatch)))
    }
    case 'claim': {
      const path = claimPath(attribute.path)
      return after(
        new ByteWriter().u32(path.length).bytes(path).align(),
        stringList(values.map(parseStringMatch)),
      )
    }
    case 'requestPrincipal':
      return requestPrincipals(values)
  }
}

function attributeId(attribute: Attribute): number {
  switch (attribute.kind) {
    case 'text':
      return TEXT_ATTRIBUTES[attribute.of]
    case 'serviceAccount':
      return ATTRIBUTE_PRINCIPAL
    case 'path':
      return ATTRIBUTE_PATH
    case 'port':
      return ATTRIBUTE_PORT
    case 'ip':
      return IP_ATTRIBUTES[attribute.of]
    case 'header':
      return ATTRIBUTE_HEADER
    case 'claim':
      return ATTRIBUTE_CLAIM
    case 'requestPrincipal':
      return ATTRIBUTE_REQUEST_PRINCIPAL
  }
}

const ONE_ASTERISK = 'write one "*", at the beginning or at the end'

const TEXT_ATTRIBUTES = {
  method: ATTRIBUTE_METHOD,
  host: ATTRIBUTE_HOST,
  authority: ATTRIBUTE_AUTHORITY,
  principal: ATTRIBUTE_PRINCIPAL,
  namespace: ATTRIBUTE_NAMESPACE,
  sni: ATTRIBUTE_SNI,
} as const

const IP_ATTRIBUTES = {
  source: ATTRIBUTE_SOURCE_IP,
  remote: ATTRIBUTE_REMOTE_IP,
  destination: ATTRIBUTE_DESTINATION_IP,
} as const

function textValues(of: keyof typeof TEXT_ATTRIBUTES, values: readonly string[], domains: TrustDomains) {
  if (of === 'principal') return expandTrustDomains(values, domains)
  // Hosts are compared in lower case.
  return of === 'host' ? values.map((value) => value.toLowerCase()) : values
}

/** "name" in the policy's namespace, or "namespace/name", under any trust domain. */
function serviceAccountMatch(value: string, policyNamespace: string): StringMatch {
  const [namespace, name] = value.includes('/') ? value.split('/', 2) : [policyNamespace, value]
  return { form: 'suffix', text: `/ns/${namespace}/sa/${name}` }
}

/** `*` asks whether the field is there, empty or not, as Istio has it: else an empty field would pass a DENY. */
function headerMatch(value: string): StringMatch {
  return value === '*' ? { form: 'prefix', text: '' } : parseStringMatch(value)
}

function stringList(matches: readonly StringMatch[]): Payload {
  const problem = listProblem(matches)
  return problem ? { ok: false, code: 'too-large', problem } : { ok: true, bytes: encodeStringList(matches) }
}

function pathList(values: readonly string[]): Payload {
  const matches: StringMatch[] = []
  for (const value of values) {
    if (!isPathTemplate(value)) {
      matches.push(parseStringMatch(value))
      continue
    }
    const template = parsePathTemplate(value)
    if (!template.ok) return { ok: false, code: 'bad-value', problem: template.problem }
    matches.push({ form: 'template', program: template.program })
  }
  return stringList(matches)
}

function portList(values: readonly string[]): Payload {
  const out = new ByteWriter().u32(values.length)
  for (const value of values) {
    if (!/^[0-9]{1,5}$/.test(value) || Number(value) > 65535) {
      return {
        ok: false,
        code: 'bad-value',
        problem: `${JSON.stringify(value)} is not a port from 0 to 65535`,
      }
    }
    out.u32(Number(value))
  }
  return { ok: true, bytes: out.finish() }
}

function ipList(values: readonly string[]): Payload {
  const out = new ByteWriter().u32(values.length)
  for (const value of values) {
    const reading = parseIpBlock(value)
    if (!reading.ok) return { ok: false, code: 'bad-value', problem: reading.problem }
    writeIpBlock(out, reading.block)
  }
  return { ok: true, bytes: out.finish() }
}

/** A claim's path as claims.ts looks it up. */
export function claimPath(names: readonly string[]): Buffer {
  const out = new ByteWriter()
  for (const name of names) {
    const bytes = Buffer.from(name, 'utf8')
    out.u16(bytes.length).bytes(bytes)
  }
  return out.finish()
}

function requestPrincipals(values: readonly string[]): Payload {
  const out = new ByteWriter().u32(values.length)
  for (const value of values) {
    for (const match of requestPrincipalMatches(value)) {
      const list = stringList([match])
      if (!list.ok) return list
      out.u32(list.bytes.length).bytes(list.bytes)
    }
  }
  return { ok: true, bytes: out.finish() }
}

/**
 * "<issuer>/<subject>", cut at the last slash since an issuer may be a URL. A wildcard belongs to the part that it
 * stands in; a value without slash whose wildcard is in front is about the subject alone, else about the issuer.
 */
function requestPrincipalMatches(value: string): [issuer: StringMatch, subject: StringMatch] {
  const any: StringMatch = { form: 'present' }
  if (value === '*') return [any, any]
  const slash = value.lastIndexOf('/')
  if (slash >= 0) {
    const [issuer, subject] = [value.slice(0, slash), value.slice(slash + 1)]
    if (value.startsWith('*')) return [parseStringMatch(issuer), { form: 'exact', text: subject }]
    if (value.endsWith('*')) return [{ form: 'exact', text: issuer }, parseStringMatch(subject)]
    return [
      { form: 'exact', text: issuer },
      { form: 'exact', text: subject },
    ]
  }
  if (value.startsWith('*')) return [any, parseStringMatch(value)]
  if (value.endsWith('*')) return [parseStringMatch(value), any]
  return [
    { form: 'exact', text: value },
    { form: 'exact', text: '' },
  ]
}

function after(subject: ByteWriter, list: Payload): Payload {
  return list.ok ? { ok: true, bytes: subject.bytes(list.bytes).finish() } : list
}
