import { mkdirSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { FunctionSpec } from '../api/function-spec.ts'
import type { Run } from './bring-up.ts'
import { createEndpointSet } from './endpoint-instances.ts'
import { createProcessSet, type InstanceSet, type InstanceSetOptions } from './instance-set.ts'
import type { Isolation } from './isolation/isolation.ts'
import { startKeeper } from './keeper.ts'
import { type Launcher, launchTiedToParent } from './launch.ts'
import { createLogBook, type LogBook } from './log-book.ts'
import { MOST_PRESTARTED, Prestarted } from './prestarted.ts'
import { instanceUsages, reapedCpuMs, type Usage } from './process-usage.ts'
import { StartGate } from './start-gate.ts'

/** All function instances that this process runs. Nothing that it has started outlives it, whatever ends it. */
export interface Runtime {
  /** What makes compartments for instances; null: they are plain processes. */
  readonly isolation: Isolation | null
  readonly logs: LogBook
  /** Processes that wait for an instance to become; null: none are started ahead. */
  readonly prestarted: Prestarted | null
  /** The instances of one revision; a new revision is a new set, and the old one is drained when it is not needed. */
  createSet(spec: FunctionSpec, options: InstanceSetOptions): InstanceSet
  /** Of all instances: CPU time since the start, of those that have ended, too; memory now. */
  usage(): Promise<Usage>
  /** Drains every set, then kills whatever is left. */
  close(): Promise<void>
}

export interface RuntimeOptions {
  logs?: LogBook
  launcher?: Launcher
  /** Every process of a function is to be shut in; the runtime closes it. */
  isolation?: Isolation | null
  /** Where file functions keep compiled code between starts, which spares half of a start; null: nowhere. */
  cacheDirectory?: string | null
  /** Processes that are started ahead for file functions, up to MOST_PRESTARTED; where instances are isolated, none are. */
  prestarted?: number
  /** Told when the keeper had to be started anew: until then a kill of this process could leave instances behind. */
  keeperLost?(problem: string): void
}

export function createRuntime(options: RuntimeOptions = {}): Runtime {
  const logs = options.logs ?? createLogBook()
  const shared = {
    keeper: startKeeper(options.keeperLost ?? ((problem) => process.emitWarning(problem, 'MayflyKeeper'))),
    launcher: options.launcher ?? launchTiedToParent,
    cacheDirectory: options.cacheDirectory === undefined ? userCacheDirectory() : options.cacheDirectory,
  }
  const isolation = options.isolation ?? null
  const count = isolation === null ? Math.min(options.prestarted ?? 0, MOST_PRESTARTED) : 0
  const prestarted = count > 0 ? new Prestarted({ ...shared, count }) : null
  const run: Run = { gate: new StartGate(), ...shared, logs, isolation, prestarted }
  const sets = new Set<InstanceSet>()
  const reapedBefore = reapedCpuMs()
  let closed: Promise<void> | null = null

  async function close(): Promise<void> {
    await Promise.all(Array.from(sets, (set) => set.drain()))
    run.prestarted?.close()
    await run.keeper.close()
    await run.isolation?.close()
  }

  return {
    logs,
    prestarted,
    isolation,
    createSet(spec, setOptions) {
      if (closed) throw new Error('the runtime is closed')
      const { image } = spec
      const set =
        image.kind === 'endpoint'
          ? createEndpointSet(spec, image.addresses, setOptions)
          : createProcessSet(run, spec, setOptions)
      sets.add(set)
      const { drain } = set
      set.drain = () => drain().finally(() => sets.delete(set))
      return set
    },
    async usage() {
      const usages = await instanceUsages(Array.from(sets, (set) => set.instances()).flat())
      const total: Usage = { cpuMs: (await reapedCpuMs()) - (await reapedBefore), rssBytes: 0 }
      for (const usage of usages.values()) {
        total.cpuMs += usage.cpuMs
        total.rssBytes += usage.rssBytes
      }
      return total
    },
    close() {
      closed ??= close()
      return closed
    },
  }
}

/** Only the user's own folder will do: what lies there is run. */
function userCacheDirectory(): string | null {
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'mayfly', 'compiled')
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const { uid, mode } = statSync(folder)
    return uid === process.getuid?.() && (mode & 0o022) === 0 ? folder : null
  } catch {
    return null
  }
}
