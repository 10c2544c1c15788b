import { type ChildProcess, spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { delimiter, dirname, isAbsolute, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FunctionSpec } from '../api/function-spec.ts'
import { expand } from './environment.ts'

/** A process to be started. */
export type Launch = {
  command: string
  args: string[]
  cwd: string
  environment: Record<string, string>
  /** Files that the process reads before it can run at all. */
  files: string[]
  /** The process writes the number of the port on which it listens, and a newline, to file descriptor 3. */
  announcesPort: boolean
  /** What a process of a function's host (FUNCTION_HOST) loads; absent: it is another program. */
  module?: string
  /** Written to its standard input; else that is empty. */
  input?: string
  /** A process that waits for its input and becomes this one by it; it is taken instead of a new one. */
  waiting?: ChildProcess
  /** Better words for how it ended, where there are any. */
  explain?(how: string): string
}

/** Turns the process that a function's manifest asks for into the one that is really started, where it is not isolated. */
export type Launcher = (launch: Launch) => Launch

/** What to start for an instance of the function, or why that is not possible. */
export function planLaunch(
  spec: Pick<FunctionSpec, 'image' | 'workingDir' | 'source'>,
  environment: Record<string, string>,
): { ok: true; launch: Launch } | { ok: false; reason: string } {
  const image = spec.image
  if (image.kind === 'endpoint') return { ok: false, reason: 'an endpoint is not started by the mesh' }
  const cwd = resolve(spec.workingDir ?? dirname(spec.source.file))
  if (!statSync(cwd, { throwIfNoEntry: false })?.isDirectory()) {
    return {
      ok: false,
      reason: `the working directory ${cwd} does not exist: create it, or correct workingDir`,
    }
  }
  if (image.kind === 'file') {
    const file = resolve(image.path)
    if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
      return { ok: false, reason: `the module ${file} does not exist: create it, or correct image` }
    }
    const launch = {
      command: process.execPath,
      args: [FUNCTION_HOST, file, '3'],
      cwd,
      environment,
      files: [process.execPath, FUNCTION_HOST, file],
      announcesPort: true,
      module: file,
    }
    return { ok: true, launch }
  }
  const [name, ...args] = [...image.command, ...image.args].map((argument) => expand(argument, environment))
  const command = findProgram(name!, cwd, environment.PATH ?? DEFAULT_PATH)
  if (command === null) {
    const where = name!.includes('/') ? `in ${cwd}` : `in PATH (${environment.PATH ?? DEFAULT_PATH})`
    return {
      ok: false,
      reason: `command not found: no program ${name} ${where}: install it, or correct command`,
    }
  }
  return { ok: true, launch: { command, args, cwd, environment, files: [command], announcesPort: false } }
}

/** On Linux, has the kernel kill the process when the mesh process ends; elsewhere leaves the launch as it is. */
export function launchTiedToParent(launch: Launch): Launch {
  const [command = launch.command, ...before] = tiedToParent()
  if (command === launch.command) return launch
  return { ...launch, command, args: [...before, launch.command, ...launch.args] }
}

/** The beginning of a command that the kernel kills when its parent ends, even while it is stopped; empty where that is not known how to do. */
export function tiedToParent(): string[] {
  setpriv ??= hasParentDeathSignal() ? findProgram('setpriv', '/', process.env.PATH ?? DEFAULT_PATH) : ''
  return setpriv ? [setpriv, '--pdeathsig', 'KILL', '--'] : []
}

/** Null until it has been looked for; '' where there is none. */
let setpriv: string | null = null

function hasParentDeathSignal(): boolean {
  if (process.platform !== 'linux') return false
  // Other implementations of setpriv (busybox) may lack the option.
  return (
    spawnSync('setpriv', ['--pdeathsig', 'KILL', '--', '/bin/sh', '-c', ':'], { stdio: 'ignore' }).status ===
    0
  )
}

/** The executable file that a command names: a path from the working directory, or a name looked up in PATH. */
function findProgram(name: string, cwd: string, path: string): string | null {
  if (name.includes('/')) return isExecutable(resolve(cwd, name)) ? resolve(cwd, name) : null
  for (const folder of path.split(delimiter)) {
    const file = join(isAbsolute(folder) ? folder : resolve(cwd, folder), name)
    if (isExecutable(file)) return file
  }
  return null
}

function isExecutable(file: string): boolean {
  try {
    const found = statSync(file, { throwIfNoEntry: false })
    return found?.isFile() === true && (found.mode & 0o111) !== 0
  } catch {
    // A folder of PATH that this user may not enter holds nothing for it.
    return false
  }
}

/** Run by Node as `FUNCTION_HOST MODULE FD`. */
export const FUNCTION_HOST = fileURLToPath(new URL('./function-host.ts', import.meta.url))
const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin'
