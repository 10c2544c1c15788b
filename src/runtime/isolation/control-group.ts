import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { GroupLayout, GroupLimits } from './control-group-layout.ts'

/** The processes of one instance, as the kernel counts and bounds them together; a process never leaves its group. */
export interface ControlGroup {
  /** Writing 0 to each moves the process that writes. */
  readonly entrances: readonly string[]
  /** Throws where the system refuses a limit. */
  limit(limits: GroupLimits): void
  /** Processes that were killed since the group used more memory than it may. */
  memoryKills(): number
  /** Kills all that is in it, and removes it; resolves with false where a process does not end. */
  remove(): Promise<boolean>
}

/** So often the kernel is asked whether killed processes are gone, and so many milliseconds apart. */
const REMOVE_ROUNDS = 200
const ROUND_MS = 10

/** Makes an empty group below `parent`, which is made if it is not there. */
export function makeGroup(layout: GroupLayout, parent: string, name: string): ControlGroup {
  const folders = new Map(layout.roots.map((root) => [root, join(root, parent, name)]))
  for (const root of layout.roots) {
    mkdirSync(join(root, parent), { recursive: true })
    if (layout.version === 2) openTo(join(root, parent))
    mkdirSync(folders.get(root)!, { recursive: true })
  }
  const all = [...folders.values()]
  return {
    entrances: all.map((folder) => join(folder, 'cgroup.procs')),
    limit(limits) {
      for (const { root, file, value, optional } of layout.settings(limits)) {
        const path = join(folders.get(root)!, file)
        if (!optional || existsSync(path)) writeFileSync(path, value)
      }
    },
    memoryKills() {
      const { root, file } = layout.memoryEvents
      return Number(/^oom_kill (\d+)$/m.exec(readText(join(folders.get(root)!, file)))?.[1] ?? 0)
    },
    async remove() {
      for (let round = 0; round < REMOVE_ROUNDS; round++) {
        if (round > 0) await delay(ROUND_MS)
        if (all.filter((folder) => !removeFolder(folder)).length === 0) return true
      }
      return false
    },
  }
}

/** The folders of a parent's groups, whose processes whoever tidies up is to kill. */
export function parentFolders(layout: GroupLayout, parent: string): string[] {
  return layout.roots.map((root) => join(root, parent))
}

/** Kills all processes in the groups of a parent, and removes them; false where one does not end. */
export async function removeGroups(layout: GroupLayout, parent: string): Promise<boolean> {
  for (let round = 0; round < REMOVE_ROUNDS; round++) {
    if (round > 0) await delay(ROUND_MS)
    const left = parentFolders(layout, parent).filter((folder) => {
      for (const name of groupsIn(folder)) removeFolder(join(folder, name))
      return !removeFolder(folder)
    })
    if (left.length === 0) return true
  }
  return false
}

function openTo(folder: string): void {
  const file = join(folder, 'cgroup.subtree_control')
  if (!readText(file).includes('memory')) writeFileSync(file, '+cpu +memory +pids')
}

function groupsIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
  } catch {
    return []
  }
}

/** Kills who is in it; true once it is gone. */
function removeFolder(folder: string): boolean {
  if (!existsSync(folder)) return true
  for (const text of readText(join(folder, 'cgroup.procs')).split('\n')) {
    const pid = Number(text)
    if (pid > 0) kill(pid)
  }
  try {
    rmdirSync(folder)
    return true
  } catch {
    // EBUSY: what was killed is not gone yet.
    return false
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // ESRCH: it has ended by itself.
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
