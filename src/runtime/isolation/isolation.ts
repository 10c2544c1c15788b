import { closeSync } from 'node:fs'
import { join } from 'node:path'
import { leasePort, type PortLease } from '../port-lease.ts'
import { type ClaimedRange, claimRange, FIRST_USER, RANGE_SIZE } from './claimed-range.ts'
import { type Compartment, createCompartment, MOST_PROCESSES } from './compartment.ts'
import { type CompiledCode, type CompiledCodeCounters, createCompiledCode } from './compiled-code.ts'
import { makeGroup, parentFolders, removeGroups } from './control-group.ts'
import { findGroupLayout, type GroupLayout } from './control-group-layout.ts'
import { type ClosedFolder, COMPILED_FOLDER, type InstanceView, makeView } from './instance-view.ts'
import { mountControlGroups } from './mount-control-groups.ts'
import { type NameServerCounters, openNameServer } from './name-server.ts'
import { makeNamespace } from './network-namespace.ts'
import { startTidier } from './range-tidier.ts'
import { findTool, runTool, TOOLS } from './system-tool.ts'
import { tryCompartment } from './try-compartment.ts'

export type CompartmentOutcome = { ok: true; compartment: Compartment } | { ok: false; problem: string }

/** Makes compartments for the instances of one process. */
export interface Isolation {
  readonly counters: Readonly<IsolationCounters>
  make(): Promise<CompartmentOutcome>
  /** Ends what is left in any, and removes them. */
  close(): Promise<void>
}

export interface IsolationCounters extends NameServerCounters, CompiledCodeCounters {
  inUse: number
  made: number
  /** Compartments that could not be made, or of which a process did not end. */
  failed: number
  lost: number
}

export interface IsolationOptions {
  /** The first of the users that instances are; 65,536 belong to the ranges of a machine. */
  firstUser?: number
  /** Compartments that there may be at once, those that are kept ready included. */
  most?: number
  /** Told when the process that tidies up had to be started anew. */
  notice(text: string): void
}

/** Makes ready for isolation, and tries it: gives all that is missing on this machine where it cannot be had. */
export async function openIsolation(
  options: IsolationOptions,
): Promise<{ ok: true; isolation: Isolation } | { ok: false; missing: string[] }> {
  const missing = missingHere()
  if (missing.length === 0) await mountControlGroups()
  const groups = process.platform === 'linux' ? findGroupLayout() : null
  if (groups?.ok === false) missing.push(groups.problem)
  if (missing.length > 0 || !groups?.ok) return { ok: false, missing }
  const claimed = claimRange(findTool('flock')!, options.firstUser ?? FIRST_USER)
  if (!claimed.ok) return { ok: false, missing: [claimed.problem] }
  const { range } = claimed
  const counters: IsolationCounters = { ...NOTHING_YET }
  const compiledFolder = join(range.folder, 'compiled')
  const compiled = createCompiledCode(compiledFolder, COMPILED_FOLDER, counters)
  const view = await makeView(findTool('unshare')!, range.folder, compiledFolder)
  if (!view.ok) {
    closeSync(range.lock)
    return { ok: false, missing: [view.problem] }
  }
  if (!view.view.hidesProcesses)
    options.notice('this kernel cannot hide processes of other users in /proc from instances (Linux 5.8 can)')
  const port = await leasePort('0.0.0.0')
  if (port === null) {
    closeSync(range.lock)
    return { ok: false, missing: ['a free port for the addresses of sidecars'] }
  }
  const isolation = createIsolation(
    { range, layout: groups.layout, view: view.view, port, compiled, counters },
    options,
  )
  const tried = await tryOne(isolation)
  if (tried === null) return { ok: true, isolation }
  await isolation.close()
  return { ok: false, missing: [tried] }
}

/** What can be seen to be missing without trying. */
function missingHere(): string[] {
  if (process.platform !== 'linux') return [`Linux (this is ${process.platform})`]
  const missing: string[] = []
  if (process.getuid?.() !== 0) missing.push('the rights of root')
  for (const [name, packageName] of Object.entries(TOOLS))
    if (findTool(name) === null) missing.push(`the program ${name} (package ${packageName})`)
  return missing
}

interface Parts {
  range: ClaimedRange
  layout: GroupLayout
  view: InstanceView
  port: PortLease
  compiled: CompiledCode
  counters: IsolationCounters
}

function createIsolation(parts: Parts, options: IsolationOptions): Isolation {
  const { notice } = options
  const most = Math.min(options.most ?? RANGE_SIZE, RANGE_SIZE)
  const { range, layout, view, port, compiled, counters } = parts
  const [unshare, nsenter] = [findTool('unshare')!, findTool('nsenter')!]
  const parent = `mayfly-${range.number}`
  // Those used last come last: what still speaks to an address of old has long given up by then.
  const free = Array.from({ length: most }, (_, index) => index)
  const held = new Set<Compartment>()
  const tidier = startTidier(range, parentFolders(layout, parent), notice)
  /** Of a process that was killed together with its tidier. */
  const leftOver = removeGroups(layout, parent).then(() => removeInterfaces(range))
  /** Closed folders that the operator has been told of. */
  const told = new Set<string>()
  const opened = ({ path, file }: ClosedFolder) => {
    if (told.has(path) || told.size === MOST_TOLD) return
    told.add(path)
    notice(
      `${file} lies in ${path}, which its owner alone may enter: instances that need it may read what others may there, at some 30 ms for each start (chmod o+x spares that)`,
    )
  }
  let whenEmpty: (() => void) | null = null
  let closed: Promise<void> | null = null

  async function make(): Promise<CompartmentOutcome> {
    await leftOver
    if (closed) return { ok: false, problem: 'isolation has ended' }
    const index = free.shift()
    if (index === undefined) {
      counters.failed++
      return { ok: false, problem: `all ${most} compartments of this process are in use` }
    }
    const outcome = await build(index)
    if (outcome.ok) counters.made++
    else {
      counters.failed++
      free.push(index)
    }
    return outcome
  }

  async function build(index: number): Promise<CompartmentOutcome> {
    const made = await makeNamespace(unshare, range, index, port.port)
    if (!made.ok) return made
    const { namespace } = made
    const named = await openNameServer(namespace.sidecar, port.port, counters)
    if (!named.ok) {
      namespace.close()
      return named
    }
    try {
      const group = makeGroup(layout, parent, String(index))
      group.limit(NO_LIMITS)
      const compartment = createCompartment({
        namespace,
        port: port.port,
        group,
        view,
        compiled,
        opened,
        nameServer: named.server,
        user: range.firstUser + index,
        nsenter,
        released(clean) {
          held.delete(compartment)
          counters.inUse = held.size
          if (clean) free.push(index)
          else {
            counters.lost++
            notice(`a process of compartment ${index} does not end: the compartment is not used again`)
          }
          if (held.size === 0) whenEmpty?.()
        },
      })
      held.add(compartment)
      counters.inUse = held.size
      return { ok: true, compartment }
    } catch (error) {
      named.server.close()
      namespace.close()
      return { ok: false, problem: `a control group: ${(error as Error).message}` }
    }
  }

  async function close(): Promise<void> {
    await leftOver
    const empty = new Promise<void>((resolve) => {
      whenEmpty = resolve
    })
    for (const compartment of held) compartment.release()
    if (held.size > 0) await empty
    await tidier.close()
    view.close()
    port.release()
    closeSync(range.lock)
  }

  return {
    counters,
    make,
    close() {
      closed ??= close()
      return closed
    },
  }
}

const MOST_TOLD = 100

const NOTHING_YET: IsolationCounters = {
  inUse: 0,
  made: 0,
  failed: 0,
  lost: 0,
  questions: 0,
  ignored: 0,
  compiledKept: 0,
  compiledDropped: 0,
}

/** But that of processes: a function that says nothing of limits must not take all the machine's. */
const NO_LIMITS = { cpuMillis: null, cpuRequestMillis: null, memoryBytes: null, processes: MOST_PROCESSES }

/** Interfaces that are left of this range: they keep their names as long as their namespace has processes. */
async function removeInterfaces(range: ClaimedRange): Promise<void> {
  const ip = findTool('ip')!
  const listed = await runTool(ip, ['-o', 'link', 'show', 'type', 'veth'])
  if (!listed.ok) return
  const names = [...listed.output.matchAll(/^\d+: ([a-z0-9]+)[@:]/gm)].map((match) => match[1]!)
  for (const name of names)
    if (name.startsWith(range.interfacePrefix)) await runTool(ip, ['link', 'del', name])
}

/** What does not work of a compartment on this machine; null: all does. */
async function tryOne(isolation: Isolation): Promise<string | null> {
  const made = await isolation.make()
  if (!made.ok) return made.problem
  const problem = await tryCompartment(made.compartment)
  made.compartment.release()
  return problem
}
