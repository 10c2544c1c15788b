import type { FunctionSpec } from '../api/function-spec.ts'
import type { Resource } from '../api/resource.ts'
import { selects } from '../policy/selector.ts'
import {
  type CompiledFunction,
  type CompiledMesh,
  compileView,
  type MeshCompilation,
  viewOf,
} from './compile-mesh.ts'

/**
 * Compiles a mesh of which most is as it was: `touched` are the resources that were changed, added or deleted, as they were and as
 * they are now. Gives exactly what compiling all anew would; a function that none of them can concern stays the same object.
 */
export function recompileMesh(
  before: CompiledMesh,
  resources: readonly Resource[],
  touched: readonly Resource[],
  overrides: Partial<CompiledMesh['config']> = {},
): MeshCompilation {
  const view = viewOf(resources, overrides, unchangedSpecs(before, touched))
  const { rootNamespace } = view.config
  const routed = resources.some(({ kind }) => ROUTING.has(kind))
  const wide = touched.some((resource) => concernsAll(resource, rootNamespace, routed))
  const known = new Map<string, CompiledFunction>()
  if (!wide) {
    const byNamespace = Map.groupBy(touched, ({ metadata }) => metadata.namespace)
    for (const spec of view.functions) {
      const compiled = before.functions.get(spec.key)
      const near = byNamespace.get(spec.namespace) ?? []
      if (compiled && !near.some((resource) => mayConcern(resource, spec))) known.set(spec.key, compiled)
    }
  }
  return compileView(view, resources, known)
}

/** The functions as they were, but for those that were written anew; none where what all of them are made with is another. */
function unchangedSpecs(
  before: CompiledMesh,
  touched: readonly Resource[],
): (service: Resource) => FunctionSpec | undefined {
  if (touched.some(({ kind }) => kind === 'MeshConfig')) return () => undefined
  const written = new Set(touched.filter(({ kind }) => kind === 'Service').map(keyOf))
  return (service) => (written.has(keyOf(service)) ? undefined : before.functions.get(keyOf(service))?.spec)
}

function keyOf({ metadata }: Resource): string {
  return `${metadata.namespace}/${metadata.name}`
}

/** Kinds that name functions of any namespace. */
const ROUTING: ReadonlySet<string> = new Set(['VirtualService', 'DestinationRule'])

function concernsAll({ kind, metadata }: Resource, rootNamespace: string, routed: boolean): boolean {
  // A route may lead to a function that comes or goes.
  if (kind === 'Service') return routed
  return kind === 'MeshConfig' || ROUTING.has(kind) || metadata.namespace === rootNamespace
}

/** Whether a resource of the function's namespace can matter to it. */
function mayConcern(resource: Resource, spec: FunctionSpec): boolean {
  if (resource.kind === 'Service') return resource.metadata.name === spec.name
  const labels = selectorOf(resource)
  return labels === undefined || selects(labels, spec)
}

/** The labels that a resource selects by; undefined: it is for its whole namespace, or says otherwise whom it is for. */
function selectorOf(resource: Resource): Readonly<Record<string, string>> | undefined {
  const spec = resource.spec as {
    selector?: { matchLabels?: Record<string, string> }
    workloadSelector?: { labels?: Record<string, string> }
  }
  return spec.selector?.matchLabels ?? spec.workloadSelector?.labels
}
