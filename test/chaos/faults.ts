import type { Cluster, RoleName } from './cluster.ts'
import { type History, monotonicMs } from './history.ts'
import { wait } from './load.ts'
import { instanceProcesses } from './role.ts'

/** Something that can go wrong: does it, waits, and makes it good again. */
export interface Fault {
  name: string
  disturbs: boolean
  leavesRequests: boolean
  /** `within` inflicts another one meanwhile, which is written down by itself. */
  run(cluster: Cluster, random: () => number, within: (fault: Fault) => Promise<void>): Promise<void>
}

/** From a death to the new start, as a supervisor has it. */
const RESTART_MS = 200
const LONGEST_PAUSE_MS = 4_000
/** Long enough that its node counts as lost. */
const LONGEST_ISOLATION_MS = 8_000
const LONGEST_JUMP_MS = 3_600_000

/** All that this machine lets one do. */
export function faultsOf(cluster: Cluster): { faults: Fault[]; skipped: string[] } {
  const faults: Fault[] = [
    ...(['control', 'n1', 'n2', 'gateway'] as const).map(killRole),
    ...(['control', 'n1', 'n2', 'gateway'] as const).map(pauseRole),
    ...(['n1', 'n2', 'gateway'] as const).flatMap((name) => [killEngine(name), pauseEngine(name)]),
    ...(['control', 'n1', 'gateway'] as const).map(jumpClock),
    killInstance,
    pauseInstance,
    ...(['n1', 'gateway'] as const).flatMap((name) => [
      withoutControl(killEngine(name)),
      killWithPausedEngine(name),
    ]),
    withoutControl(killInstance),
  ]
  const skipped: string[] = []
  if (cluster.network)
    faults.push(
      ...(['control', 'n1', 'n2', 'gateway'] as const).map(partition),
      ...(['n1', 'gateway'] as const).map((name) => withControlCutOff(killEngine(name))),
    )
  else skipped.push('no partitions: they need root and `ip`')
  if (cluster.disk) faults.push(fullDisk, slowDisk)
  else skipped.push('no full and no slow disk: they need root, a loop device, mkfs.ext4 and fsfreeze')
  return { faults, skipped }
}

/** Runs a fault and writes down when it was. */
export async function inflict(
  fault: Fault,
  cluster: Cluster,
  history: History,
  random: () => number,
): Promise<void> {
  const { name, disturbs, leavesRequests } = fault
  const begin = monotonicMs()
  const record = { name, begin, end: Number.POSITIVE_INFINITY, disturbs, leavesRequests }
  history.faults.push(record)
  cluster.note(`begins: ${name}`)
  await fault.run(cluster, random, (other) => inflict(other, cluster, history, random))
  record.end = monotonicMs()
  cluster.note(`ends: ${name}`)
}

function killRole(name: RoleName): Fault {
  const isControl = name === 'control'
  return {
    name: `kill ${name}`,
    disturbs: !isControl,
    leavesRequests: !isControl,
    async run(cluster, random) {
      const role = cluster.roles.get(name)!
      await role.kill()
      await wait(random() < 0.5 ? RESTART_MS : random() * LONGEST_PAUSE_MS)
      role.start()
    },
  }
}

function pauseRole(name: RoleName): Fault {
  return {
    name: `pause ${name}`,
    disturbs: false,
    leavesRequests: false,
    async run(cluster, random) {
      const role = cluster.roles.get(name)!
      role.signal('SIGSTOP')
      await wait(random() * LONGEST_ISOLATION_MS)
      role.signal('SIGCONT')
    },
  }
}

function killEngine(name: RoleName): Fault {
  return {
    name: `kill an engine of ${name}`,
    disturbs: true,
    leavesRequests: true,
    async run(cluster, random) {
      const pid = oneOf(cluster.roles.get(name)!.engines(), random)
      if (pid !== undefined) signal(pid, 'SIGKILL')
      await wait(RESTART_MS)
    },
  }
}

function pauseEngine(name: RoleName): Fault {
  return {
    name: `pause an engine of ${name}`,
    disturbs: true,
    leavesRequests: false,
    run: (cluster, random) => paused(oneOf(cluster.roles.get(name)!.engines(), random), random),
  }
}

const killInstance: Fault = {
  name: 'kill an instance',
  disturbs: true,
  leavesRequests: true,
  async run(cluster, random) {
    const pid = oneOf(instancePids(cluster), random)
    if (pid !== undefined) signal(pid, 'SIGKILL')
    await wait(RESTART_MS)
  },
}

const pauseInstance: Fault = {
  name: 'pause an instance',
  disturbs: true,
  leavesRequests: false,
  run: (cluster, random) => paused(oneOf(instancePids(cluster), random), random),
}

/** The wall clock jumps, to either side, and back. Certificates last for a day, so that is not what ends them. */
function jumpClock(name: RoleName): Fault {
  return {
    name: `set the clock of ${name} wrong`,
    disturbs: false,
    leavesRequests: false,
    async run(cluster, random) {
      const role = cluster.roles.get(name)!
      role.shiftClock((random() < 0.5 ? -1 : 1) * random() * LONGEST_JUMP_MS)
      await wait(1_000 + random() * LONGEST_PAUSE_MS)
      role.shiftClock(0)
    },
  }
}

/** The control plane is dead while it happens, and for longer than a recovery may take. */
function withoutControl(fault: Fault): Fault {
  return {
    name: `kill control: then ${fault.name}`,
    disturbs: false,
    leavesRequests: false,
    async run(cluster, random, within) {
      const control = cluster.roles.get('control')!
      await control.kill()
      await within(fault)
      await wait(random() * LONGEST_ISOLATION_MS)
      control.start()
    },
  }
}

/** The same with a control plane that is cut off, which shows only after a while. */
function withControlCutOff(fault: Fault): Fault {
  return {
    name: `cut off control: then ${fault.name}`,
    disturbs: false,
    leavesRequests: false,
    async run({ network }, random, within) {
      network!.setConnected('control', false)
      await within(fault)
      await wait(random() * LONGEST_ISOLATION_MS)
      network!.setConnected('control', true)
    },
  }
}

/** An engine that cannot hear that its node has ended. */
function killWithPausedEngine(name: RoleName): Fault {
  return {
    name: `kill ${name} while an engine is paused`,
    disturbs: true,
    leavesRequests: true,
    async run(cluster, random) {
      const role = cluster.roles.get(name)!
      const pid = oneOf(role.engines(), random)
      if (pid !== undefined) signal(pid, 'SIGSTOP')
      await role.kill()
      await wait(RESTART_MS)
      role.start()
    },
  }
}

/** Cuts a machine off from all others. Without the control plane requests go on. */
function partition(name: RoleName): Fault {
  return {
    name: `cut off ${name}`,
    disturbs: name !== 'control',
    leavesRequests: false,
    async run({ network }, random) {
      network!.setConnected(name, false)
      await wait(random() * (name === 'control' ? LONGEST_ISOLATION_MS : LONGEST_PAUSE_MS))
      network!.setConnected(name, true)
    },
  }
}

const fullDisk: Fault = {
  name: 'fill the disk of the control plane',
  disturbs: false,
  leavesRequests: false,
  async run({ disk }, random) {
    disk!.fill()
    await wait(500 + random() * LONGEST_PAUSE_MS)
    disk!.empty()
  },
}

/** A disk that stands still again and again. */
const slowDisk: Fault = {
  name: 'slow the disk of the control plane',
  disturbs: false,
  leavesRequests: false,
  async run({ disk }, random) {
    for (let i = 0; i < 3; i++) {
      disk!.freeze()
      await wait(random() * 1_000)
      disk!.thaw()
      await wait(100)
    }
  },
}

async function paused(pid: number | undefined, random: () => number): Promise<void> {
  if (pid === undefined) return
  signal(pid, 'SIGSTOP')
  await wait(random() * LONGEST_PAUSE_MS)
  signal(pid, 'SIGCONT')
}

function instancePids(cluster: Cluster): number[] {
  return instanceProcesses(`CHAOS_LOG=${cluster.folder}/log`).map(({ pid }) => pid)
}

function oneOf<T>(all: readonly T[], random: () => number): T | undefined {
  return all[Math.floor(random() * all.length)]
}

/** It may have ended by itself meanwhile. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
