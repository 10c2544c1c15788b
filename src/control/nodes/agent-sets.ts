import type { FunctionSpec } from '../../api/function-spec.ts'
import type { HostedSlice } from '../../dataplane/node-messages.ts'
import type { Instance } from '../../runtime/instance.ts'
import type { InstanceSet } from '../../runtime/instance-set.ts'
import type { LocalNode } from '../local-node.ts'
import type { Report } from './node-agent.ts'
import { readSetName } from './set-name.ts'

/** The sets of instances that a control plane has a node run. */
export class AgentSets {
  readonly #local: LocalNode
  readonly #report: (report: Report) => void
  readonly #hosts: (key: string, instances: HostedSlice[]) => void
  /** Instances to which requests may come, by function. */
  readonly #hosted = new Map<string, Map<string, HostedSlice>>()
  readonly #sets = new Map<string, InstanceSet>()
  /** Stopping instances, each with what says that no engine uses it any more. */
  readonly #stopping = new Map<string, () => void>()
  #over = false

  /** `hosts` is told of all instances of a function that take requests, whenever they are others. */
  constructor(
    local: LocalNode,
    report: (report: Report) => void,
    hosts: (key: string, instances: HostedSlice[]) => void,
  ) {
    this.#hosts = hosts
    this.#local = local
    this.#report = report
  }

  instances(): Instance[] {
    return Array.from(this.#sets.values(), (set) => set.instances()).flat()
  }

  /** All instances, as the control plane is told of them. */
  states() {
    return [...this.#sets].flatMap(([name, set]) => set.instances().map((one) => this.#stateOf(name, one)))
  }

  /** `spec` is a FunctionSpec as JSON; '' where the set is known. */
  setDesired(name: string, count: number, spec: string): void {
    if (this.#over) return
    const known = this.#sets.get(name)
    if (known) return known.setDesired(count)
    if (spec === '') return
    const set = this.#create(name, JSON.parse(spec) as FunctionSpec)
    this.#sets.set(name, set)
    set.setDesired(count)
  }

  drain(name: string): void {
    const done = () => this.#report({ case: 'setDrained', value: { set: name } })
    const known = this.#sets.get(name)
    if (!known) return done()
    void known.drain().then(() => {
      this.#sets.delete(name)
      done()
    })
  }

  /** No engine uses the stopping instance any more. */
  drained(id: string): void {
    this.#stopping.get(id)?.()
  }

  /** Whatever uses them has ended: those that stop from here on wait for nobody's word. */
  allDrained(): void {
    this.#over = true
    for (const drained of [...this.#stopping.values()]) drained()
  }

  #create(name: string, spec: FunctionSpec): InstanceSet {
    return this.#local.createSet(spec, readSetName(name).revision, {
      starting: (instance) => this.#tell(name, instance),
      ready: (instance) => {
        // Its engines are to know it before others hear of it.
        this.#host(instance)
        this.#tell(name, instance)
      },
      stopping: (instance) => this.#stop(name, instance),
      gone: (instance, why) => {
        this.#stopping.get(instance.id)?.()
        this.#unhost(instance)
        this.#report({ case: 'instanceGone', value: { set: name, id: instance.id, why } })
      },
      failed: (reason, retryAt) =>
        this.#report({ case: 'startFailed', value: { set: name, reason, retryAt } }),
    })
  }

  #host({ function: key, id, address: { host, port } }: Instance): void {
    const hosted = this.#hosted.get(key) ?? new Map<string, HostedSlice>()
    this.#hosted.set(key, hosted.set(id, { id, host, port }))
    this.#hosts(key, [...hosted.values()])
  }

  #unhost({ function: key, id }: Instance): void {
    const hosted = this.#hosted.get(key)
    if (!hosted?.delete(id)) return
    if (hosted.size === 0) this.#hosted.delete(key)
    this.#hosts(key, [...hosted.values()])
  }

  #stop(name: string, instance: Instance): Promise<void> {
    this.#tell(name, instance)
    if (this.#over) return Promise.resolve()
    return new Promise((resolve) => {
      this.#stopping.set(instance.id, () => {
        this.#stopping.delete(instance.id)
        resolve()
      })
    })
  }

  #tell(name: string, instance: Instance): void {
    this.#report({ case: 'instanceState', value: this.#stateOf(name, instance) })
  }

  #stateOf(set: string, instance: Instance) {
    const { id, state, address, pid, startedAt, readyAfterMs } = instance
    return {
      set,
      id,
      state,
      host: address.host,
      port: address.port,
      pid: pid ?? 0,
      startedAt,
      readyAfterMs: readyAfterMs ?? -1,
      egressUrl: this.#local.egressUrl(instance.function, id) ?? '',
    }
  }
}
