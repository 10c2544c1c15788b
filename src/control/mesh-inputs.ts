import type { Kind, Resource } from '../api/resource.ts'
import { SERVICE_LABEL, type Service } from '../api/service.ts'
import { Buckets } from './buckets.ts'
import { servedResources } from './served-revisions.ts'

/** One resource of a change, as it was and as it is to be. */
export interface ResourceEdit {
  before: Resource | null
  after: Resource | null
}

type Labels = Readonly<Record<string, string>>

/** Kinds that name functions of any namespace. */
export const ROUTING: ReadonlySet<Kind> = new Set(['VirtualService', 'DestinationRule'])

/** Of these all are needed at once: there are few, or what they are for is not said by labels. */
const WHOLE: ReadonlySet<Kind> = new Set([...ROUTING, 'MeshConfig', 'WasmPolicy'])

/** What a mesh is compiled from, found without looking through the rest: the policies that may be for a function, and the functions for a policy. */
export class MeshInputs {
  /** In which order they came, since where several could be meant the first counts. */
  readonly #order = new Map<Resource, number>()
  #next = 0
  readonly #resources = new Buckets<Resource>()
  /** Keys of functions by namespace and by each of their labels. */
  readonly #functions = new Buckets<string>()

  constructor(resources: Iterable<Resource>) {
    for (const resource of resources) this.#add(resource, this.#next++)
  }

  /** Takes a change over; gives what takes it back, as long as nothing else was changed since. */
  change(edits: readonly ResourceEdit[]): () => void {
    const undo: (() => void)[] = []
    for (const { before, after } of edits) {
      const order = before ? this.#order.get(before) : undefined
      if (before && order !== undefined) {
        this.#remove(before)
        undo.push(() => this.#add(before, order))
      }
      if (after) {
        this.#add(after, order ?? this.#next++)
        undo.push(() => this.#remove(after))
      }
    }
    return () => {
      for (const one of undo.reverse()) one()
    }
  }

  /** All resources of such a kind as concerns more than what it selects. */
  all<K extends Kind>(kind: K): Extract<Resource, { kind: K }>[] {
    return this.#sorted(this.#resources.get(kind)) as Extract<Resource, { kind: K }>[]
  }

  /** The policies of a kind that may be for a function of the namespace with these labels, and few others. */
  near<K extends Kind>(
    kind: K,
    namespaces: readonly string[],
    labels: Labels,
  ): Extract<Resource, { kind: K }>[] {
    const pairs = ['', ...Object.entries(labels).map(pairOf)]
    const buckets = [...new Set(namespaces)].flatMap((one) => pairs.map((pair) => bucketOf(kind, one, pair)))
    const found = buckets.flatMap((bucket) => this.#resources.get(bucket))
    return this.#sorted(found) as Extract<Resource, { kind: K }>[]
  }

  /** Those of a kind that are for a whole namespace. */
  wide(kind: Kind, namespace: string): Resource[] {
    return this.#sorted(this.#resources.get(bucketOf(kind, namespace, '')))
  }

  /** Keys of the functions of its namespace that a resource may be for, and few others. */
  functionsNear(resource: Resource): readonly string[] {
    const { namespace } = resource.metadata
    const pairs = Object.entries(selectorOf(resource) ?? {}).map(pairOf)
    if (pairs.length === 0) return this.#functions.get(namespace)
    const sets = pairs.map((pair) => this.#functions.get(`${namespace} ${pair}`))
    return sets.reduce((least, set) => (set.length < least.length ? set : least))
  }

  #sorted(found: readonly Resource[]): Resource[] {
    return found.toSorted((a, b) => this.#order.get(a)! - this.#order.get(b)!)
  }

  #add(written: Resource, order: number): void {
    for (const resource of servedResources(written)) this.#addOne(resource, order)
  }

  #remove(written: Resource): void {
    for (const resource of servedResources(written)) this.#removeOne(resource)
  }

  #addOne(resource: Resource, order: number): void {
    this.#order.set(resource, order)
    if (resource.kind === 'Service')
      for (const bucket of functionBuckets(resource)) this.#functions.add(bucket, functionKey(resource))
    else for (const bucket of resourceBuckets(resource)) this.#resources.add(bucket, resource)
  }

  #removeOne(resource: Resource): void {
    this.#order.delete(resource)
    if (resource.kind === 'Service')
      for (const bucket of functionBuckets(resource)) this.#functions.remove(bucket, functionKey(resource))
    else for (const bucket of resourceBuckets(resource)) this.#resources.remove(bucket, resource)
  }
}

/** The labels that a resource selects by; undefined: it is for its whole namespace, or says otherwise whom it is for. */
function selectorOf(resource: Resource): Labels | undefined {
  const spec = resource.spec as {
    selector?: { matchLabels?: Record<string, string> }
    workloadSelector?: { labels?: Record<string, string> }
  }
  return spec.selector?.matchLabels ?? spec.workloadSelector?.labels
}

/** Of the labels by which it selects one is enough to find it by. */
function resourceBuckets(resource: Resource): string[] {
  const { kind, metadata } = resource
  const whole = WHOLE.has(kind) ? [kind] : []
  if (ROUTING.has(kind) || kind === 'MeshConfig') return whole
  const [first] = Object.entries(selectorOf(resource) ?? {})
  return [...whole, bucketOf(kind, metadata.namespace, first ? pairOf(first) : '')]
}

/** As its function is selected (FunctionSpec.labels). */
function functionBuckets({ metadata, spec, revisionOf }: Service): string[] {
  const { namespace, name } = metadata
  const labels = { ...spec.template.metadata.labels, [SERVICE_LABEL]: revisionOf ?? name }
  return [namespace, ...Object.entries(labels).map((label) => `${namespace} ${pairOf(label)}`)]
}

function functionKey({ metadata }: Service): string {
  return `${metadata.namespace}/${metadata.name}`
}

function bucketOf(kind: Kind, namespace: string, pair: string): string {
  return `${kind} ${namespace} ${pair}`
}

function pairOf([name, value]: [string, string]): string {
  return `${name}=${value}`
}
