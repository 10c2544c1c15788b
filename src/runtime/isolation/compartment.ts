import type { ChildProcess } from 'node:child_process'
import type { Resources } from '../../api/resources.ts'
import type { Launch } from '../launch.ts'
import type { CompiledCode } from './compiled-code.ts'
import type { ControlGroup } from './control-group.ts'
import { type Entrance, enter, startWaiting } from './enter-compartment.ts'
import { type ClosedFolder, closedFolders, type InstanceView } from './instance-view.ts'
import type { NameServer } from './name-server.ts'
import type { NetworkNamespace } from './network-namespace.ts'

/** What shuts one instance in: its namespaces, its user, its control group. Made before an instance needs it, and never used twice. */
export interface Compartment {
  /** Where the engine is to listen for what the instance sends: that address has no other purpose. */
  readonly host: string
  readonly port: number
  /** Where the machine reaches the instance's own port. */
  readonly address: string
  readonly user: number
  /** Sets what the instance may use; gives what the system refused, or null. */
  limit(resources: Resources | undefined): string | null
  /** A folder for what Node compiles of this revision's modules, as the instance sees it. */
  compiledCode(revision: string): string
  /** The launch as a process inside; or why its user could not start it. */
  enter(launch: Launch): { ok: true; launch: Launch } | { ok: false; reason: string }
  /** Ends what is left inside, and gives everything back. */
  release(): void
}

/** Processes and threads that one instance may have. */
export const MOST_PROCESSES = 1_024

/** A function's host writes what was compiled a second after its start. */
const KEEP_MS = 2_500

export interface CompartmentParts {
  namespace: NetworkNamespace
  port: number
  group: ControlGroup
  view: InstanceView
  compiled: CompiledCode
  /** A closed folder is opened to the instance. */
  opened(folder: ClosedFolder): void
  nameServer: NameServer
  user: number
  nsenter: string
  /** Everything is given back, or (false) a process does not end, so that the parts must not be used again. */
  released(clean: boolean): void
}

export function createCompartment(parts: CompartmentParts): Compartment {
  const { namespace, port, group, view, compiled, nameServer, user, nsenter } = parts
  const own = (descriptor: number) => `/proc/${process.pid}/fd/${descriptor}`
  const entrance: Entrance = {
    network: own(namespace.network),
    ipc: own(namespace.ipc),
    mount: own(view.descriptor),
    groups: group.entrances,
    user,
    nsenter,
  }
  let waiting: ChildProcess | null = startWaiting(entrance)
  let memoryBytes: number | null = null
  let keepTimer: NodeJS.Timeout | undefined
  let isReleased = false

  /** Words for an end that the kernel brought about for want of memory. */
  function explain(how: string): string {
    if (memoryBytes === null || !how.includes('SIGKILL') || group.memoryKills() === 0) return how
    return `was killed: it used more memory than its limit, ${memoryBytes} bytes (resources.limits.memory)`
  }

  return {
    host: namespace.sidecar,
    port,
    address: namespace.instance,
    user,
    limit(resources) {
      memoryBytes = resources?.limits.memoryBytes ?? null
      try {
        if (resources) {
          group.limit({
            cpuMillis: resources.limits.cpuMillis,
            cpuRequestMillis: resources.requests.cpuMillis,
            memoryBytes,
            processes: MOST_PROCESSES,
          })
        }
        return null
      } catch (error) {
        return `the control group takes no such limit: ${(error as Error).message}`
      }
    },
    compiledCode(revision) {
      keepTimer = setTimeout(() => compiled.keep(user), KEEP_MS).unref()
      return compiled.folderFor(revision, user)
    },
    enter(launch) {
      const readable = closedFolders(launch.files, [launch.cwd])
      if (!readable.ok) return { ok: false, reason: readable.problem }
      const odd = readable.closed.find(({ path }) => /[,:\\"\n]/.test(path))
      if (odd) {
        return {
          ok: false,
          reason: `${odd.path} may be entered by its owner alone, and instances are users of their own: chmod o+x it`,
        }
      }
      // What is covered for it, a process cannot get by waiting inside.
      const inside = readable.closed.length === 0 && isAlive(waiting) ? waiting : null
      readable.closed.forEach(parts.opened)
      if (inside === null) waiting?.kill('SIGKILL')
      waiting = null
      return { ok: true, launch: { ...enter(launch, entrance, readable.closed, inside), explain } }
    },
    release() {
      if (isReleased) return
      isReleased = true
      nameServer.close()
      waiting?.kill('SIGKILL')
      clearTimeout(keepTimer)
      void group.remove().then((clean) => {
        compiled.keep(user)
        compiled.forget(user)
        namespace.close()
        parts.released(clean)
      })
    },
  }
}

function isAlive(child: ChildProcess | null): boolean {
  return child?.pid !== undefined && child.exitCode === null && child.signalCode === null
}
