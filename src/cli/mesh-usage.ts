import { processUsage } from '../runtime/process-usage.ts'
import type { MeshUsage } from '../study/mesh.ts'
import type { RunningMesh } from './running-mesh.ts'

type Counting = Record<string, number> & Record<'runtimeCpuMs' | 'runtimeRssBytes' | 'sandboxesRun', number>

/** What a mesh and its functions have used since it started. */
export async function meshUsage({ mesh, runtime }: RunningMesh): Promise<MeshUsage> {
  const functions = await runtime.usage()
  const usage = {
    runtimeCpuMs: 0,
    runtimeRssBytes: 0,
    functionsCpuMs: functions.cpuMs,
    functionsRssBytes: functions.rssBytes,
    sandboxesRun: 0,
    instancesStarted: mesh.instancesStarted,
  }
  const engines = mesh.engines().flatMap(({ pid }) => pid ?? [])
  for (const used of await Promise.all([ownUsage(), ...engines.map(processUsage)])) {
    if (used === null) continue // it has ended in the meantime, or there is no /proc here
    usage.runtimeCpuMs += used.cpuMs
    usage.runtimeRssBytes += used.rssBytes
  }
  for (const { answer } of await mesh.query({ kind: 'counters' })) addCounters(usage, answer as object)
  return usage
}

/** This process can be told on every system. */
function ownUsage(): { cpuMs: number; rssBytes: number } {
  const { user, system } = process.cpuUsage()
  return { cpuMs: (user + system) / 1000, rssBytes: process.memoryUsage.rss() }
}

/** Engines' counters, summed; the sidecars' own stand under `sidecars`. */
export function addCounters(usage: Counting, counters: object): void {
  for (const [name, value] of Object.entries(counters)) {
    if (typeof value === 'number') usage[name] = (usage[name] ?? 0) + value
    else if (name === 'sidecars' && value)
      usage.sandboxesRun += Number((value as { sandboxes?: number }).sandboxes ?? 0)
  }
}
