import type { Launch } from '../launch.ts'
import { type ClosedFolder, VIEW_FOLDER } from './instance-view.ts'

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
  closed: readonly ClosedFolder[]
}

/**
 * The launch of a process that enters these first. What a user writes (variables, arguments) is read only when all rights
 * are given up: it comes by standard input to a shell that is the function's user by then.
 */
export function enter(launch: Launch, entrance: Entrance, tools: { nsenter: string }): Launch {
  const { network, ipc, mount, groups, user, closed } = entrance
  const namespaces = [`--net=${network}`, `--ipc=${ipc}`, `--mount=${mount}`]
  const own = closed.length > 0 ? ['unshare', '--mount', '--propagation', 'private', '--'] : []
  const lines = [
    'set -e',
    ...groups.map((file) => `echo 0 >${quoted(file)}`),
    ...opened(closed, launch.cwd),
    `cd -- ${quoted(launch.cwd)}`,
    `exec setpriv --reuid ${user} --regid ${user} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all --pdeathsig KILL -- /bin/sh`,
  ]
  return {
    ...launch,
    command: tools.nsenter,
    args: [...namespaces, '--', ...own, '/bin/sh', '-c', lines.join('\n')],
    cwd: '/',
    environment: ENVIRONMENT,
    input: start(launch),
  }
}

/** With PATH alone: variables of a function would mean something to the tools that still have all rights. */
const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }

/** What the shell of the function's user reads: its variables, then what to become. */
function start({ command, args, environment }: Launch): string {
  const lines = ['unset PATH PWD OLDPWD']
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

/** Covers closed folders, in a mount namespace of this instance's own, with the same that others may enter. */
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
