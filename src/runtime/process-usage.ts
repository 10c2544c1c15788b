import { readdir, readFile } from 'node:fs/promises'
import type { Instance } from './instance.ts'

/** What processes have used so far. Resident memory counts pages that several processes share once for each. */
export type Usage = { cpuMs: number; rssBytes: number }

/** What an instance's process group uses, children included; null where that cannot be read (gone, external, not Linux). */
export async function instanceUsage(instance: Instance): Promise<Usage | null> {
  return (await instanceUsages([instance])).get(instance.id) ?? null
}

/** The same for many instances with one look at the system's processes. */
export async function instanceUsages(instances: Iterable<Instance>): Promise<Map<string, Usage>> {
  const byGroup = new Map<number, string>()
  for (const { pid, id, state } of instances) if (pid !== null && state !== 'gone') byGroup.set(pid, id)
  const usages = new Map<string, Usage>()
  if (byGroup.size === 0) return usages
  const pids = (await readdir('/proc').catch((): string[] => [])).filter((name) => /^\d+$/.test(name))
  for (let i = 0; i < pids.length; i += AT_ONCE) {
    const stats = await Promise.all(pids.slice(i, i + AT_ONCE).map(readStat))
    for (const stat of stats) {
      const id = stat === null ? undefined : byGroup.get(stat.group)
      if (stat === null || id === undefined) continue
      const usage = usages.get(id) ?? { cpuMs: 0, rssBytes: 0 }
      usage.cpuMs += stat.cpuMs + stat.reapedCpuMs
      usage.rssBytes += stat.rssBytes
      usages.set(id, usage)
    }
  }
  return usages
}

/** What one process uses, its children left out; null where that cannot be read. */
export async function processUsage(pid: number): Promise<Usage | null> {
  return readStat(String(pid))
}

/** CPU time of this process's children that have ended and been reaped, with theirs; 0 where it cannot be read. */
export async function reapedCpuMs(): Promise<number> {
  return (await readStat('self'))?.reapedCpuMs ?? 0
}

type Stat = { group: number; cpuMs: number; reapedCpuMs: number; rssBytes: number }

async function readStat(pid: string): Promise<Stat | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  // proc_pid_stat(5): the second field is the name in parentheses, which may itself hold anything. Here [0] is field 3.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  if (fields.length < 22) return null
  const field = (number: number) => Number(fields[number - 3])
  return {
    group: field(5),
    cpuMs: (field(14) + field(15)) * TICK_MS,
    reapedCpuMs: (field(16) + field(17)) * TICK_MS,
    rssBytes: field(24) * PAGE_BYTES,
  }
}

const AT_ONCE = 64
/** USER_HZ is 100 in every Linux that Node runs on. */
const TICK_MS = 10
/** Of x86-64, and the usual one elsewhere. */
const PAGE_BYTES = 4096
