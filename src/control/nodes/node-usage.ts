import type { Instance } from '../../runtime/instance.ts'
import { instanceUsages, processUsage, type Usage } from '../../runtime/process-usage.ts'

/** What a node has used since it began: its own processes (agent and engines), and each of its instances. */
export interface NodeUsage {
  own: Usage
  instances: ({ id: string } & Usage)[]
}

const MOST_INSTANCES = 20_000

/** Of this process, the engines that it started, and instances on this machine. What cannot be read counts for nothing. */
export async function usageHere(
  engines: readonly (number | undefined)[],
  instances: readonly Instance[],
): Promise<NodeUsage> {
  const { user, system } = process.cpuUsage()
  const own = { cpuMs: (user + system) / 1_000, rssBytes: process.memoryUsage.rss() }
  const used = await Promise.all(engines.map((pid) => (pid === undefined ? null : processUsage(pid))))
  for (const one of used) {
    own.cpuMs += one?.cpuMs ?? 0
    own.rssBytes += one?.rssBytes ?? 0
  }
  const usages = await instanceUsages(instances)
  return { own, instances: Array.from(usages, ([id, usage]) => ({ id, ...usage })) }
}

/** What another machine's node says of itself; null where that is none. */
export function readNodeUsage(value: unknown): NodeUsage | null {
  const { own, instances } = (value ?? {}) as Partial<Record<keyof NodeUsage, unknown>>
  if (!isUsage(own) || !Array.isArray(instances) || instances.length > MOST_INSTANCES) return null
  const isInstance = (one: unknown) => isUsage(one) && typeof (one as { id?: unknown }).id === 'string'
  return instances.every(isInstance) ? { own, instances: instances as NodeUsage['instances'] } : null
}

function isUsage(value: unknown): value is Usage {
  const { cpuMs, rssBytes } = (value ?? {}) as Partial<Record<keyof Usage, unknown>>
  return [cpuMs, rssBytes].every((one) => typeof one === 'number' && Number.isFinite(one) && one >= 0)
}
