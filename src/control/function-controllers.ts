import type { FunctionSpec } from '../api/function-spec.ts'
import type { FromEngine, ToEngine } from '../dataplane/engine-messages.ts'
import type { Instance } from '../runtime/instance.ts'
import type { CompiledFunction, CompiledMesh } from './compile-mesh.ts'
import { FunctionController, isExternal } from './function-controller.ts'
import type { FunctionSlices } from './function-slices.ts'
import type { InstancePlaces } from './instance-places.ts'
import type { MeshNode } from './mesh-node.ts'
import type { MeshNodes } from './mesh-nodes.ts'

export interface FunctionControllersParts {
  compiled(): CompiledMesh
  nodes: MeshNodes
  slices: FunctionSlices
  places: InstancePlaces
  notice(text: string): void
}

/** What controls functions: one for each that was ever asked for. Most functions of a mesh are idle and have none. */
export class FunctionControllers {
  readonly #parts: FunctionControllersParts
  readonly #controllers = new Map<string, FunctionController>()
  /** Those that the autoscaler looks at; the others are at rest. */
  readonly #busy = new Set<FunctionController>()
  readonly #contended = new Set<FunctionController>()
  /** Those of deleted functions whose instances still work on their last requests. */
  readonly #leaving = new Set<FunctionController>()
  #instancesStarted = 0

  constructor(parts: FunctionControllersParts) {
    this.#parts = parts
  }

  get instancesStarted(): number {
    return this.#instancesStarted
  }

  get(key: string): FunctionController | undefined {
    return this.#controllers.get(key)
  }

  /** The function's controller, made when it is first needed; undefined where there is no such function. */
  for(key: string): FunctionController | undefined {
    const compiled = this.#parts.compiled().functions.get(key)
    return this.#controllers.get(key) ?? (compiled && this.control(compiled.spec))
  }

  /** `adopted` instances run already. */
  control(spec: FunctionSpec, adopted = 0): FunctionController {
    const { nodes, places, slices, notice } = this.#parts
    const asking = () => this.#nodesAsking(spec.key)
    const controller = new FunctionController(
      spec,
      asking().flatMap((node) => node.engines()),
      {
        createSet: (one, revision, listener) => places.createSet(one, revision, listener),
        send: (engine, message) => {
          const node = nodes.nodeOf(engine)
          if (node) slices.release(node, spec.key)
          nodes.send(engine, message)
        },
        broadcast: (message) => {
          for (const node of asking()) {
            slices.release(node, spec.key)
            node.broadcast(message)
          }
        },
        instanceStarting: () => {
          this.#instancesStarted++
        },
        notice,
      },
      adopted,
    )
    this.#controllers.set(spec.key, controller)
    this.#busy.add(controller)
    return controller
  }

  /** A node that joins has instances of the function, which are to stay. */
  adopt(key: string, count: number): void {
    const compiled = this.#parts.compiled().functions.get(key)
    const controller = this.#controllers.get(key)
    if (controller) controller.keep(controller.instances().length + count)
    else if (compiled) this.control(compiled.spec, count)
  }

  /** The manifest is another one. */
  replace(spec: FunctionSpec): void {
    const controller = this.#controllers.get(spec.key)
    if (!controller || sameProgram(controller.spec, spec)) return
    controller.replace(spec)
    this.#busy.add(controller)
  }

  /** Those of deleted functions. */
  leaving(): Instance[] {
    return [...this.#leaving].flatMap((controller) => controller.instances())
  }

  /** The function is deleted. */
  remove(key: string): void {
    const controller = this.#controllers.get(key)
    if (!controller) return
    this.#controllers.delete(key)
    this.#busy.delete(controller)
    this.#contended.delete(controller)
    this.#leaving.add(controller)
    void controller.remove().then(() => this.#leaving.delete(controller))
  }

  /** The node's engines have requests for the function from now on: they are told of its instances. */
  tellEndpoints(node: MeshNode, key: string): void {
    for (const engine of node.engines()) {
      for (const message of this.#endpointsFor(engine, [key])) node.send(engine, message)
    }
  }

  /** These nodes, or all, are reached otherwise: who may use instances there is told of them once more. */
  tellAgain(moved: ReadonlySet<MeshNode> | 'all'): void {
    if (moved !== 'all' && moved.size === 0) return
    const { nodes } = this.#parts
    const concerns = ({ id }: Instance) => moved === 'all' || moved.has(nodes.hostOf(id)!)
    for (const controller of this.#controllers.values())
      if (controller.instances().some(concerns)) controller.tellAgain()
  }

  /** What a new engine of the node is told. */
  forNewEngine(node: MeshNode, engine: string): ToEngine[] {
    return this.#endpointsFor(engine, this.#parts.slices.asked(node))
  }

  /** A control plane before this one has let the engine use these endpoints. */
  found(engine: string, endpoints: readonly ToEngine[]): void {
    for (const message of endpoints) {
      if (message.type !== 'endpoints') continue
      this.#used(engine, message.key)
      this.for(message.key)?.found(engine, message.endpoints)
    }
  }

  /** The engine is out of reach, and may be alive. */
  engineAbsent(engine: string): void {
    for (const controller of this.#controllers.values()) controller.engineAbsent(engine)
  }

  forgetEngine(engine: string): void {
    for (const controller of this.#controllers.values()) controller.engineDied(engine)
    for (const controller of this.#leaving) controller.engineDied(engine)
  }

  demand(engine: string, { reports }: Extract<FromEngine, { type: 'demand' }>): void {
    const now = Date.now()
    for (const report of reports) {
      const controller = this.for(report.key)
      if (!controller) continue
      this.#used(engine, report.key)
      controller.demand(engine, report, now)
      this.#busy.add(controller)
      this.#contended.add(controller)
    }
  }

  /**
   * Whether a request that comes in at the node waits for the function's first instance whatever its engine finds out: it judges
   * nothing but routes before (decision 12), and nothing serves yet.
   */
  isCold(node: MeshNode, { spec, routes }: CompiledFunction): boolean {
    if (routes !== null || isExternal(spec) || !this.#parts.nodes.forwards(node)) return false
    const controller = this.#controllers.get(spec.key)
    if (!controller) return true
    const failure = controller.failure()
    if (failure !== null && failure.retryAt > Date.now()) return false
    return controller.instances().every(({ state }) => state === 'starting')
  }

  /** A request waits at an engine that cannot say so yet, since its node does not know the function. */
  expect(node: MeshNode, engine: string, key: string): void {
    const controller = this.for(key)
    if (!controller) return
    for (const one of node.engines()) controller.addEngine(one)
    controller.expect(engine, Date.now())
    this.#busy.add(controller)
  }

  /**
   * The node's engines have had no use for the function for long: unless they have now, they give back what they hold of its
   * instances, and have no part in them any more (`parted`). True where they hold nothing.
   */
  letGo(node: MeshNode, key: string, parted: () => void): boolean {
    const controller = this.#controllers.get(key)
    const engines = node.engines()
    if (engines.some((engine) => controller?.isNeededBy(engine))) return false
    parted()
    return engines.map((engine) => controller?.letGo(engine) ?? true).every((holdsNothing) => holdsNothing)
  }

  /** A deleted function may have been written anew under its name; an instance's id is one controller's alone. */
  returned(engine: string, { key, endpoint, slots }: Extract<FromEngine, { type: 'returned' }>): void {
    this.#controllers.get(key)?.returned(engine, endpoint, slots)
    for (const controller of this.#leaving) {
      if (controller.key === key) controller.returned(engine, endpoint, slots)
    }
  }

  /** A step of the autoscalers. */
  scale(): void {
    const now = Date.now()
    for (const controller of this.#busy) if (!controller.scale(now)) this.#busy.delete(controller)
  }

  /** Slots that several engines need go round. */
  turn(): void {
    for (const controller of this.#contended) if (!controller.turn()) this.#contended.delete(controller)
  }

  #endpointsFor(engine: string, keys: readonly string[]): ToEngine[] {
    const messages = keys.flatMap((key) => this.#controllers.get(key)?.addEngine(engine) ?? [])
    return messages.map((message) => this.#parts.nodes.told(engine, message))
  }

  #used(engine: string, key: string): void {
    const node = this.#parts.nodes.nodeOf(engine)
    if (node) this.#parts.slices.used(node, key)
  }

  /** The nodes whose engines have requests for the function: they alone have a part in its instances. */
  #nodesAsking(key: string): MeshNode[] {
    return this.#parts.nodes.all.filter((node) => this.#parts.slices.hasAsked(node, key))
  }
}

/** Instances that run may stay: nothing that they were started with has changed. */
function sameProgram(a: FunctionSpec, b: FunctionSpec): boolean {
  const program = ({ image, env, workingDir, readiness, concurrency, scaling, port }: FunctionSpec) =>
    JSON.stringify({ image, env, workingDir, readiness, concurrency, scaling, port })
  return program(a) === program(b)
}
