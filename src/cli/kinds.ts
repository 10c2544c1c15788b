import { KINDS as RESOURCE_KINDS } from '../api/resource.ts'
import { fail } from './output.ts'

export type Row = Record<string, unknown>

/** Something that a mesh is asked for its present state of: it is shown as a table and cannot be applied. */
export interface View {
  type: 'view'
  /** As the mesh calls it: "functions". */
  name: string
  columns: string[]
  /** What identifies a row. */
  id(row: Row): string
  /** The row with what its table shows and the answer does not have as such. */
  shown?(row: Row): Row
  /** The function that a row is about, as "namespace/name"; null: it is about none, so namespaces and labels do not select it. */
  functionOf?(row: Row): string | null
}

/** A kind of manifests, which a control plane keeps. */
export interface ResourceKind {
  type: 'resource'
  name: string
}

export type Kind = View | ResourceKind

const joined = (value: unknown) => (Array.isArray(value) ? value.join(', ') : value)

export const VIEWS: Readonly<Record<string, View>> = {
  functions: {
    type: 'view',
    name: 'functions',
    columns: ['function', 'ready', 'desired', 'revision', 'requests', 'host', 'egress', 'failure'],
    id: keyOfRow,
    shown: (row) => ({ ...row, function: keyOfRow(row) }),
    functionOf: keyOfRow,
  },
  instances: {
    type: 'view',
    name: 'instances',
    columns: ['id', 'function', 'state', 'node', 'address', 'pid', 'readyAfterMs', 'egress'],
    id: (row) => String(row.id),
    functionOf: (row) => String(row.function),
  },
  policies: {
    type: 'view',
    name: 'policies',
    columns: ['kind', 'namespace', 'name', 'source'],
    id: (row) => `${row.kind}/${row.namespace}/${row.name}`,
    // They are in a namespace as functions are.
    functionOf: (row) => `${row.namespace}/`,
  },
  engines: {
    type: 'view',
    name: 'engines',
    columns: ['engine', 'pid', 'connections', 'requests', 'inFlight', 'denied', 'headsRefused'],
    id: (row) => String(row.engine),
    shown: (row) => {
      const counters = (row.counters ?? {}) as Record<string, number>
      return {
        ...row,
        ...counters,
        connections: counters.connectionsOpen,
        inFlight: counters.requestsInFlight,
      }
    },
  },
  nodes: {
    type: 'view',
    name: 'nodes',
    columns: ['node', 'state', 'roles', 'schedulable', 'instances', 'address', 'zone', 'version', 'lastSeen'],
    id: (row) => String(row.node),
    shown: (row) => ({ ...row, roles: joined(row.roles), engines: joined(row.engines) }),
  },
  identities: {
    type: 'view',
    name: 'identities',
    columns: ['principal', 'epoch', 'expires', 'engines'],
    id: (row) => String(row.principal),
    shown: (row) => ({
      ...row,
      expires: new Date(row.notAfter as number).toISOString(),
      engines: joined(row.engines),
    }),
  },
  credentials: {
    type: 'view',
    name: 'credentials',
    columns: ['name', 'readOnly', 'createdAt', 'expiresAt', 'createdBy'],
    id: (row) => String(row.name),
  },
}

/** Other words for kinds, as kubectl, Knative and Istio have them. */
const SHORT: Readonly<Record<string, string>> = {
  fn: 'functions',
  no: 'nodes',
  svc: 'Service',
  ksvc: 'Service',
  ap: 'AuthorizationPolicy',
  ra: 'RequestAuthentication',
  pa: 'PeerAuthentication',
  vs: 'VirtualService',
  dr: 'DestinationRule',
}

/** The words for all kinds, for messages and completion. */
export const KIND_WORDS: readonly string[] = [
  ...Object.keys(VIEWS),
  ...Object.keys(RESOURCE_KINDS).map((kind) => kind.toLowerCase()),
]

/** The kind that a word names: in the singular or the plural, in whatever case, or by a short name. */
export function readKind(word: string): Kind | null {
  const wanted = word.toLowerCase()
  const short = SHORT[wanted]
  for (const view of Object.values(VIEWS))
    if (short === view.name || [view.name, singular(view.name)].includes(wanted)) return view
  for (const name of Object.keys(RESOURCE_KINDS))
    if (short === name || [name.toLowerCase(), plural(name.toLowerCase())].includes(wanted))
      return { type: 'resource', name }
  return null
}

/** The same; an unknown word ends the command. */
export function kindOf(word: string): Kind {
  return readKind(word) ?? fail(`there is no kind ${word}: expected one of ${KIND_WORDS.join(', ')}`, 2)
}

function keyOfRow({ namespace, name }: Row): string {
  return `${namespace}/${name}`
}

function singular(word: string): string {
  return word.replace(/ies$/, 'y').replace(/s$/, '')
}

function plural(word: string): string {
  if (word.endsWith('y')) return `${word.slice(0, -1)}ies`
  return word.endsWith('s') ? word : `${word}s`
}
