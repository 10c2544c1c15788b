import { type FunctionSpec, toFunctionSpec } from '../api/function-spec.ts'
import type { Kind, Resource } from '../api/resource.ts'
import type { MeshView } from '../policy/compile-policy.ts'
import {
  type CompiledFunction,
  type CompiledMesh,
  compileFunction,
  compileMesh,
  isPolicy,
  type MeshCompilation,
  MeshProblems,
  policyKey,
  policyName,
} from './compile-mesh.ts'
import { LayeredMap } from './layered-map.ts'
import { functionChanged, type MeshDifference, meshDifference } from './mesh-difference.ts'
import { type MeshInputs, type ResourceEdit, ROUTING } from './mesh-inputs.ts'
import { servedResources } from './served-revisions.ts'
import { readUserModules } from './user-modules.ts'

export type Recompilation =
  | { ok: true; mesh: CompiledMesh; difference: MeshDifference }
  | Extract<MeshCompilation, { ok: false }>

/**
 * Compiles a mesh of which most is as it was. `inputs` have taken the edits over; `all` gives every resource in order, for edits
 * that may concern everything. Gives exactly what compiling all anew would, at the cost of what the edits concern: a function that
 * none of them can concern stays the same object.
 */
export function recompileMesh(
  before: CompiledMesh,
  inputs: MeshInputs,
  edits: readonly ResourceEdit[],
  all: () => Iterable<Resource>,
  overrides: Partial<CompiledMesh['config']> = {},
): Recompilation {
  const touched = edits.flatMap(({ before: was, after: is }) => [...servedOf(was), ...servedOf(is)])
  const modules = modulesOf(before, inputs, touched)
  const concernAll = edits.some(makesOthers) || touched.some((one) => concernsAll(one, before, inputs))
  if (modules === null || concernAll) {
    const compiled = compileMesh([...all()], overrides)
    return compiled.ok ? { ...compiled, difference: meshDifference(before, compiled.mesh) } : compiled
  }
  const specs = editedFunctions(edits, before.config)
  const changes = new Map<string, CompiledFunction | null>()
  const problems = new MeshProblems()
  const base = viewBase(before, inputs)
  for (const key of concernedFunctions(inputs, touched)) {
    const spec = specs.has(key) ? specs.get(key)! : before.functions.get(key)?.spec
    if (!spec) {
      changes.set(key, null)
      continue
    }
    const compiled = compileFunction(viewFor(base, inputs, spec), spec, modules.moduleHashes)
    if (compiled.ok) changes.set(key, compiled.fn)
    else problems.note(compiled.errors)
  }
  if (problems.found) return { ok: false, errors: problems.list() }
  const policies = LayeredMap.of(before.policies).with(
    edits.flatMap((edit) => {
      const { before: was, after: is } = edit
      const one = is ?? was
      return one && isPolicy(one) ? [[policyKey(one), is && policyName(is)] as const] : []
    }),
  )
  const mesh = {
    ...before,
    ...modules,
    policies,
    functions: LayeredMap.of(before.functions).with(inOrder(changes, edits)),
  }
  return { ok: true, mesh, difference: differenceOf(before, changes) }
}

/** The policies' modules; null: a policy's file is another one by now, so that all functions that it selects are to be compiled. */
function modulesOf(
  before: CompiledMesh,
  inputs: MeshInputs,
  touched: readonly Resource[],
): Pick<CompiledMesh, 'modules' | 'moduleHashes'> | null {
  const { modules, moduleHashes } = before
  if (!touched.some(({ kind }) => kind === 'WasmPolicy')) return { modules, moduleHashes }
  const read = readUserModules(inputs.all('WasmPolicy'))
  // What is wrong with one is told by compiling everything.
  if (!read.ok) return null
  for (const [policy, hash] of read.modules.hashOf) {
    const known = moduleHashes.get(policy)
    if (known !== undefined && known !== hash) return null
  }
  return { modules: read.modules.bytes, moduleHashes: read.modules.hashOf }
}

function concernsAll({ kind, metadata }: Resource, { config }: CompiledMesh, inputs: MeshInputs): boolean {
  // A route may lead to a function that comes or goes.
  if (kind === 'Service') return isRouted(inputs)
  return kind === 'MeshConfig' || ROUTING.has(kind) || metadata.namespace === config.rootNamespace
}

/** Functions stand in the order of their Services: what a Service makes beside itself would come in between. */
function makesOthers({ before, after }: ResourceEdit): boolean {
  if (before === null || after === null) return false
  const [was, is] = [before, after].map((one) => servedOf(one).filter(isFunction).map(keyOf).join())
  return was !== is
}

function isRouted(inputs: MeshInputs): boolean {
  return inputs.all('VirtualService').length + inputs.all('DestinationRule').length > 0
}

/** The functions whose manifests are written anew; null: it is gone. */
function editedFunctions(
  edits: readonly ResourceEdit[],
  config: CompiledMesh['config'],
): Map<string, FunctionSpec | null> {
  const specs = new Map<string, FunctionSpec | null>()
  for (const { before, after } of edits) {
    for (const one of servedOf(before)) if (one.kind === 'Service') specs.set(keyOf(one), null)
    for (const one of servedOf(after))
      if (one.kind === 'Service') specs.set(keyOf(one), toFunctionSpec(one, config))
  }
  return specs
}

function concernedFunctions(inputs: MeshInputs, touched: readonly Resource[]): Set<string> {
  return new Set(
    touched.flatMap((one) => (one.kind === 'Service' ? [keyOf(one)] : inputs.functionsNear(one))),
  )
}

/** What all functions are compiled with. */
function viewBase(
  before: CompiledMesh,
  inputs: MeshInputs,
): Pick<
  MeshView,
  'config' | 'configSource' | 'virtualServices' | 'destinationRules' | 'wasmPolicies' | 'functions'
> {
  const [written] = inputs.all('MeshConfig')
  return {
    config: before.config,
    ...(written && { configSource: written.source }),
    virtualServices: inputs.all('VirtualService'),
    destinationRules: inputs.all('DestinationRule'),
    wasmPolicies: inputs.all('WasmPolicy'),
    // Only routes look at other functions.
    functions: isRouted(inputs) ? Array.from(before.functions.values(), ({ spec }) => spec) : [],
  }
}

/** What a function is compiled from, and little more. */
function viewFor(base: ReturnType<typeof viewBase>, inputs: MeshInputs, spec: FunctionSpec): MeshView {
  const namespaces = [spec.namespace, base.config.rootNamespace]
  const near = <K extends Kind>(kind: K) => inputs.near(kind, namespaces, spec.labels)
  return {
    ...base,
    authorizationPolicies: near('AuthorizationPolicy'),
    peerAuthentications: near('PeerAuthentication'),
    requestAuthentications: near('RequestAuthentication'),
    rateLimitPolicies: near('RateLimitPolicy'),
    sidecars: near('Sidecar'),
    telemetries: near('Telemetry'),
  }
}

/** Functions come in the order of their manifests: one that was deleted and written anew within the edits comes last. */
function* inOrder(
  changes: ReadonlyMap<string, CompiledFunction | null>,
  edits: readonly ResourceEdit[],
): Generator<[string, CompiledFunction | null]> {
  const left = new Map(changes)
  for (const { before, after } of edits) {
    const is = servedOf(after).filter(isFunction).map(keyOf)
    const was = servedOf(before).filter(isFunction).map(keyOf)
    for (const key of was.filter((one) => !is.includes(one))) yield [key, null]
    for (const key of is) yield [key, changes.get(key)!]
    for (const key of [...was, ...is]) left.delete(key)
  }
  yield* left
}

function differenceOf(
  before: CompiledMesh,
  changes: ReadonlyMap<string, CompiledFunction | null>,
): MeshDifference {
  const entries = [...changes]
  return {
    since: before,
    upsert: entries.flatMap(([key, fn]) =>
      fn && functionChanged(before.functions.get(key), fn) ? [fn] : [],
    ),
    remove: entries.flatMap(([key, fn]) => (fn === null && before.functions.has(key) ? [key] : [])),
  }
}

function isFunction({ kind }: Resource): boolean {
  return kind === 'Service'
}

/** With what its traffic makes beside it. */
function servedOf(resource: Resource | null): readonly Resource[] {
  return resource === null ? [] : servedResources(resource)
}

function keyOf({ metadata }: Resource): string {
  return `${metadata.namespace}/${metadata.name}`
}
