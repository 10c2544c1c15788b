import { type ChildProcess, spawn } from 'node:child_process'
import type { Launch } from '../launch.ts'
import { type ClosedFolder, VIEW_FOLDER } from './instance-view.ts'
import { TOOL_ENVIRONMENT } from './system-tool.ts'

/** Into what a process is put before it becomes the function's. */
export interface Entrance {
  /** Files in /proc of the namespaces: network, ipc, mount. */
  network: string
  ipc: string
  mount: string
  /** Of control groups: whoever writes 0 there is in. */
  groups: readonly string[]
  /** User and group. */
  user: number
  /** The program that enters namespaces. */
  nsenter: string
}

/** A shell that has entered already, and become the function's user: it waits for what it is to be. Entering costs tens of milliseconds. */
export function startWaiting(entrance: Entrance): ChildProcess {
  const { command, args } = entering(entrance, [])
  const child = spawn(command, args, {
    cwd: '/',
    env: TOOL_ENVIRONMENT,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
  })
  child.on('error', () => {})
  child.stdin!.on('error', () => {})
  return child
}

/**
 * The launch of a process that enters first, or of one that waits inside. What a user writes (variables, arguments) is read
 * only when all rights are given up: it comes by standard input to a shell that is the function's user by then.
 */
export function enter(
  launch: Launch,
  entrance: Entrance,
  closed: readonly ClosedFolder[],
  waiting: ChildProcess | null,
): Launch {
  const process = { ...launch, ...entering(entrance, opened(closed, launch.cwd)) }
  return {
    ...process,
    cwd: '/',
    environment: TOOL_ENVIRONMENT,
    input: start(launch),
    ...(waiting !== null && { waiting }),
  }
}

function entering({ network, ipc, mount, groups, user, nsenter }: Entrance, opening: readonly string[]) {
  const namespaces = [`--net=${network}`, `--ipc=${ipc}`, `--mount=${mount}`]
  const own = opening.length > 0 ? ['unshare', '--mount', '--propagation', 'private', '--'] : []
  const lines = [
    'set -e',
    ...groups.map((file) => `echo 0 >${quoted(file)}`),
    ...opening,
    'cd /',
    `exec setpriv --reuid ${user} --regid ${user} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all --pdeathsig KILL -- /bin/sh`,
  ]
  return { command: nsenter, args: [...namespaces, '--', ...own, '/bin/sh', '-c', lines.join('\n')] }
}

/** What the shell of the function's user reads: where to go, its variables, what to become. */
function start({ command, args, cwd, environment, announcesPort }: Launch): string {
  const lines = [`cd -- ${quoted(cwd)} || exit 126`, 'unset LC_ALL PATH PWD OLDPWD']
  if (!announcesPort) lines.push('exec 3>&-')
  const odd: string[] = []
  for (const [name, value] of Object.entries(environment)) {
    if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) lines.push(`export ${name}=${quoted(value)}`)
    // Kubernetes' names may have dots and dashes, which a shell cannot export.
    else odd.push(`${name}=${value}`)
  }
  const program = [...(odd.length > 0 ? ['/usr/bin/env', ...odd, command] : [command]), ...args]
  lines.push(`exec ${program.map(quoted).join(' ')} </dev/null`)
  return `${lines.join('\n')}\n`
}

/** Covers closed folders, in a mount namespace of this process's own, with the same that others may enter. */
function opened(closed: readonly ClosedFolder[], cwd: string): string[] {
  if (closed.length === 0) return []
  const lines = [`mount -t tmpfs -o mode=700,size=16m,nosuid,nodev tmpfs ${VIEW_FOLDER}`]
  closed.forEach(({ path, enter: folders }, index) => {
    const [upper, work] = [`${VIEW_FOLDER}/upper${index}`, `${VIEW_FOLDER}/work${index}`]
    lines.push(
      `mkdir -m 711 ${upper}`,
      `mkdir -m 700 ${work}`,
      `mount -t overlay -o ${quoted(`lowerdir=${path},upperdir=${upper},workdir=${work}`)} overlay ${quoted(path)}`,
    )
    const inner = folders.filter((folder) => folder !== path)
    if (inner.length > 0) lines.push(`chmod o+x -- ${inner.map(quoted).join(' ')}`)
    if (folders.includes(cwd)) lines.push(`chmod o+rx -- ${quoted(cwd)}`)
  })
  return lines
}

function quoted(text: string): string {
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
