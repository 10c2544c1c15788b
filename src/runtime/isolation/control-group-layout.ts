import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** What a group may use; null: as much as there is. */
export interface GroupLimits {
  /** Thousandths of a CPU. */
  cpuMillis: number | null
  memoryBytes: number | null
  /** What it is given first where CPUs are short, in thousandths of one. */
  cpuRequestMillis: number | null
  processes: number
}

/** Where the machine's control groups are, and how they are told. */
export interface GroupLayout {
  version: 1 | 2
  /** The folders below which groups are made, one for each hierarchy. */
  roots: readonly string[]
  /** Files to be written in a group's folder of each hierarchy, in this order. */
  settings(limits: GroupLimits): GroupSetting[]
  /** The file that counts processes killed for want of memory. */
  memoryEvents: { root: string; file: string }
}

export interface GroupSetting {
  root: string
  file: string
  value: string
  /** Left out where the kernel has no such file: it was built without swap. */
  optional?: true
}

export const CONTROLLERS = ['cpu', 'memory', 'pids'] as const

/** Finds out how groups are made on this machine, or what is missing for it. */
export function findGroupLayout(
  mountsText = readFileSync('/proc/self/mountinfo', 'utf8'),
  ownText = readFileSync('/proc/self/cgroup', 'utf8'),
): { ok: true; layout: GroupLayout } | { ok: false; problem: string } {
  const mounts = readMounts(mountsText)
  const unified = mounts.find(({ type }) => type === 'cgroup2')
  const there = unified ? readWords(join(unified.point, 'cgroup.controllers')) : []
  if (unified && CONTROLLERS.every((name) => there.includes(name))) return version2(unified.point)
  const points = CONTROLLERS.map((name) =>
    mounts.find(({ type, options }) => type === 'cgroup' && options.includes(name)),
  )
  const missing = CONTROLLERS.filter((name, index) => !points[index] && !there.includes(name))
  if (points.some((point) => !point)) {
    const where = unified ? `${unified.point}/cgroup.controllers` : 'any mounted control group file system'
    return {
      ok: false,
      problem: `control groups: ${where} lacks ${missing.join(', ') || 'a controller that another hierarchy has'} (in a container they must be delegated to it)`,
    }
  }
  const own = readOwnGroups(ownText)
  const [cpu, memory, pids] = CONTROLLERS.map((name, index) => {
    const { point, root } = points[index]!
    const path = own.get(name) ?? '/'
    const below = root === '/' ? path : path.startsWith(root) ? path.slice(root.length) : '/'
    const folder = join(point, below)
    return below !== '/' && existsSync(folder) ? folder : point
  }) as [string, string, string]
  return version1(cpu, memory, pids)
}

function version2(root: string): { ok: true; layout: GroupLayout } | { ok: false; problem: string } {
  try {
    delegate(root)
  } catch (error) {
    return {
      ok: false,
      problem: `control groups: ${root}/cgroup.subtree_control does not take +cpu +memory +pids (${(error as Error).message}): the group must be delegated and have no processes of its own`,
    }
  }
  return {
    ok: true,
    layout: {
      version: 2,
      roots: [root],
      settings({ cpuMillis, cpuRequestMillis, memoryBytes, processes }) {
        const set: GroupSetting[] = [{ root, file: 'pids.max', value: String(processes) }]
        if (cpuMillis !== null) set.push({ root, file: 'cpu.max', value: `${quota(cpuMillis)} ${PERIOD_US}` })
        if (cpuRequestMillis !== null)
          set.push({ root, file: 'cpu.weight', value: String(weight(cpuRequestMillis)) })
        if (memoryBytes !== null) {
          set.push({ root, file: 'memory.max', value: String(memoryBytes) })
          set.push({ root, file: 'memory.swap.max', value: '0', optional: true })
          set.push({ root, file: 'memory.oom.group', value: '1', optional: true })
        }
        return set
      },
      memoryEvents: { root, file: 'memory.events' },
    },
  }
}

/** Lets groups below this one have the controllers. */
export function delegate(folder: string): void {
  const file = join(folder, 'cgroup.subtree_control')
  const missing = CONTROLLERS.filter((name) => !readWords(file).includes(name))
  if (missing.length > 0) writeFileSync(file, missing.map((name) => `+${name}`).join(' '))
}

function version1(cpu: string, memory: string, pids: string): { ok: true; layout: GroupLayout } {
  return {
    ok: true,
    layout: {
      version: 1,
      roots: [...new Set([cpu, memory, pids])],
      settings({ cpuMillis, cpuRequestMillis, memoryBytes, processes }) {
        const set: GroupSetting[] = [{ root: pids, file: 'pids.max', value: String(processes) }]
        if (cpuMillis !== null) {
          set.push({ root: cpu, file: 'cpu.cfs_period_us', value: String(PERIOD_US) })
          set.push({ root: cpu, file: 'cpu.cfs_quota_us', value: String(quota(cpuMillis)) })
        }
        if (cpuRequestMillis !== null)
          set.push({ root: cpu, file: 'cpu.shares', value: String(shares(cpuRequestMillis)) })
        if (memoryBytes !== null) {
          const value = String(memoryBytes)
          set.push({ root: memory, file: 'memory.limit_in_bytes', value })
          set.push({ root: memory, file: 'memory.memsw.limit_in_bytes', value, optional: true })
        }
        return set
      },
      memoryEvents: { root: memory, file: 'memory.oom_control' },
    },
  }
}

/** Kubernetes' figures: a period of 100 ms, a quota of 1 ms at least, 1024 shares for a CPU. */
const PERIOD_US = 100_000

function quota(cpuMillis: number): number {
  return Math.max(1_000, Math.round((cpuMillis * PERIOD_US) / 1_000))
}

function shares(cpuMillis: number): number {
  return Math.min(262_144, Math.max(2, Math.floor((cpuMillis * 1_024) / 1_000)))
}

/** KEP-2254's line from shares (2 to 262144) to weights (1 to 10000). */
function weight(cpuMillis: number): number {
  return 1 + Math.floor(((shares(cpuMillis) - 2) * 9_999) / 262_142)
}

interface Mount {
  root: string
  point: string
  type: string
  options: string[]
}

/** The lines of proc_pid_mountinfo(5); what is mounted last at a place hides what was there. */
function readMounts(text: string): Mount[] {
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [before = '', after = ''] = line.split(' - ')
      const fields = before.split(' ')
      const [type = '', , options = ''] = after.split(' ')
      return { root: fields[3] ?? '/', point: fields[4] ?? '', type, options: options.split(',') }
    })
    .filter(({ point, type }) => type.startsWith('cgroup') && existsSync(join(point, 'cgroup.procs')))
}

/** Of cgroup version 1: the process's own group by controller. */
function readOwnGroups(text: string): Map<string, string> {
  const own = new Map<string, string>()
  for (const line of text.trim().split('\n')) {
    const [, names = '', ...path] = line.split(':')
    for (const name of names.split(',')) own.set(name, path.join(':'))
  }
  return own
}

function readWords(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').trim().split(/\s+/)
  } catch {
    return []
  }
}
