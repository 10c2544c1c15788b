import { randomInt } from 'node:crypto'

/** `stopping`: takes no new request. `gone`: its process has ended (or its address was given up); it never comes back. */
export type InstanceState = 'starting' | 'ready' | 'stopping' | 'gone'

/** One running copy of a function: a process of ours, or a server that somebody else runs. It changes as it lives. */
export interface Instance {
  /** Unique in the mesh: "NAMESPACE-REVISION-xxxxx". */
  readonly id: string
  /** "namespace/name" */
  readonly function: string
  readonly revision: string
  /** Where it takes requests; port 0 until it is known. */
  readonly address: { readonly host: string; readonly port: number }
  readonly state: InstanceState
  /** The process, which leads a process group of its own; null for an external endpoint. */
  readonly pid: number | null
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  /** From its start until it was ready; null until then. */
  readonly readyAfterMs: number | null
}

/** What happens to a function's instances. Every instance that starts is `gone` exactly once. */
export interface InstanceListener {
  /** It has been given an id and will be started; `environment` for it is asked after this. */
  starting?(instance: Instance): void
  ready(instance: Instance): void
  /** Send it no more requests. It is told to end when the promise resolves, or after `drainMs`. */
  stopping?(instance: Instance): void | Promise<void>
  /** It takes no requests any more. `why` is for people. */
  gone(instance: Instance, why: string): void
  /** A start has failed and is tried again at `retryAt` (milliseconds since the epoch), if still wanted. */
  failed(reason: string, retryAt: number): void
}

/** The runtime's own view, which it alone may change. */
export type LiveInstance = { -readonly [field in keyof Instance]: Instance[field] }

/** A new instance of a revision, with an id that `taken` does not hold. */
export function newInstance(
  spec: { namespace: string; key: string },
  revision: string,
  taken: (id: string) => boolean,
): LiveInstance {
  let id = instanceId(spec.namespace, revision)
  while (taken(id)) id = instanceId(spec.namespace, revision)
  return {
    id,
    function: spec.key,
    revision,
    address: { host: '127.0.0.1', port: 0 },
    state: 'starting',
    pid: null,
    startedAt: Date.now(),
    readyAfterMs: null,
  }
}

function instanceId(namespace: string, revision: string): string {
  let suffix = ''
  for (let i = 0; i < 5; i++) suffix += ID_LETTERS[randomInt(ID_LETTERS.length)]
  return `${namespace}-${revision}-${suffix}`
}

/** Kubernetes' letters for generated names: no vowels, hence no words. */
const ID_LETTERS = 'bcdfghjklmnpqrstvwxz2456789'
