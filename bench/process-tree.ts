import { readdirSync, readFileSync } from 'node:fs'

// Figures of processes from Linux's /proc. A process that ends while it is read counts as zero: its parent
// then carries its CPU time (cutime, cstime).

/** `pid` and everything it started, directly or not, in no particular order. */
export function processTree(pid: number): number[] {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const parent = Number(statFields(Number(entry))?.[1])
    if (Number.isNaN(parent)) continue
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)])
  }
  const tree = [pid]
  for (const member of tree) tree.push(...(children.get(member) ?? []))
  return tree
}

/** CPU time in nanoseconds that these processes have used, all threads, and children of theirs that have ended. */
export function cpuTime(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuTimeOf(pid), 0)
}

// /proc/PID/stat counts in ticks of 10 ms, the scheduler's own sum for each thread in nanoseconds but without
// threads that have ended. Both are at most the true figure, so the larger one is the better.
function cpuTimeOf(pid: number): number {
  const fields = statFields(pid)
  if (fields === undefined) return 0
  const tick = 1e7
  const coarse = (Number(fields[11]) + Number(fields[12])) * tick
  const ended = (Number(fields[13]) + Number(fields[14])) * tick
  let precise = 0
  for (const thread of list(`/proc/${pid}/task`)) {
    precise += Number(read(`/proc/${pid}/task/${thread}/schedstat`)?.split(' ')[0] ?? 0)
  }
  return Math.max(precise, coarse) + ended
}

/** Resident memory of these processes in bytes; pages that they share count for each of them. */
export function residentBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    // Not statm: the kernel keeps that one per CPU and lets it be off by hundreds of KiB.
    const kibibytes = /^Rss: +(\d+) kB$/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1]
    return sum + Number(kibibytes ?? 0) * 1024
  }, 0)
}

/** The command line of a process, empty once it has ended. */
export function commandLine(pid: number): string[] {
  return (read(`/proc/${pid}/cmdline`) ?? '').split('\0').slice(0, -1)
}

/** The environment with which a process was started. */
export function environment(pid: number): Record<string, string> {
  const lines = (read(`/proc/${pid}/environ`) ?? '').split('\0').slice(0, -1)
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
}

// The fields after "pid (name)": 0 is the state, 1 the parent, 11-14 utime, stime, cutime, cstime.
function statFields(pid: number): string[] | undefined {
  const text = read(`/proc/${pid}/stat`)
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
