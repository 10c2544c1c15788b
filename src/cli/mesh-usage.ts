import { readFileSync } from 'node:fs'
import type { RunningMesh } from './running-mesh.ts'

/** What a mesh and its functions have used since it started. */
export interface RunningUsage {
  runtimeCpuMs: number
  runtimeRssBytes: number
  functionsCpuMs: number
  functionsRssBytes: number
  sandboxesRun: number
  instancesStarted: number
  [counter: string]: number
}

/** Kernel clock ticks a second; Linux has reported 100 to user space on every architecture for decades. */
const TICKS = 100

export async function meshUsage({ mesh, runtime }: RunningMesh): Promise<RunningUsage> {
  const pids = [process.pid, ...mesh.engines().flatMap(({ pid }) => pid ?? [])]
  const functions = await runtime.usage()
  const usage: RunningUsage = {
    runtimeCpuMs: 0,
    runtimeRssBytes: 0,
    functionsCpuMs: functions.cpuMs,
    functionsRssBytes: functions.rssBytes,
    sandboxesRun: 0,
    instancesStarted: mesh.instancesStarted,
  }
  for (const pid of pids) addProcess(usage, pid)
  for (const { answer } of await mesh.query({ kind: 'counters' })) addCounters(usage, answer as object)
  return usage
}

function addProcess(usage: RunningUsage, pid: number): void {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The command's name, in parentheses, may hold spaces.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    usage.runtimeCpuMs += ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS
    usage.runtimeRssBytes += Number(fields[21]) * 4096
  } catch {
    // It has ended in the meantime, or there is no /proc here: the own process alone can be told.
    if (pid !== process.pid) return
    const { user, system } = process.cpuUsage()
    usage.runtimeCpuMs += (user + system) / 1000
    usage.runtimeRssBytes += process.memoryUsage.rss()
  }
}

/** Engines' counters, summed; the sidecars' own stand under `sidecars`. */
function addCounters(usage: RunningUsage, counters: object): void {
  for (const [name, value] of Object.entries(counters)) {
    if (typeof value === 'number') usage[name] = (usage[name] ?? 0) + value
    else if (name === 'sidecars' && value)
      usage.sandboxesRun += Number((value as { sandboxes?: number }).sandboxes ?? 0)
  }
}
