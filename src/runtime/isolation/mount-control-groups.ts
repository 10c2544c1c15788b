import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CONTROLLERS } from './control-group-layout.ts'
import { findTool, runTool } from './system-tool.ts'

const PLACE = '/sys/fs/cgroup'

/**
 * Mounts the file systems of control groups where there are none, as in what `ip netns exec` starts, which covers /sys with a new
 * one. They are the kernel's: mounting makes nothing new. Whether it went well shows when they are looked for.
 */
export async function mountControlGroups(): Promise<void> {
  if (/ - cgroup2? /.test(readFileSync('/proc/self/mountinfo', 'utf8'))) return
  const mount = findTool('mount')!
  const hierarchies = hierarchiesOf(readFileSync('/proc/self/cgroup', 'utf8'))
  if (hierarchies.length === 0) {
    await runTool(mount, ['-n', '-t', 'cgroup2', 'cgroup2', PLACE])
    return
  }
  await runTool(mount, ['-n', '-t', 'tmpfs', '-o', 'mode=755,size=64k', 'cgroup', PLACE])
  for (const controllers of hierarchies) {
    const folder = join(PLACE, controllers)
    try {
      mkdirSync(folder, { recursive: true })
    } catch {
      return
    }
    await runTool(mount, ['-n', '-t', 'cgroup', '-o', controllers, 'cgroup', folder])
  }
}

/** Of version 1: "cpu,cpuacct" for each hierarchy that has a controller that is needed. */
export function hierarchiesOf(ownGroups: string): string[] {
  const names = ownGroups
    .trim()
    .split('\n')
    .map((line) => line.split(':')[1] ?? '')
  return names.filter((joined) => joined.split(',').some((name) => CONTROLLERS.includes(name as never)))
}
