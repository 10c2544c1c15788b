import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, realpathSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { INSIDE } from './packet-filter.ts'
import { TOOL_ENVIRONMENT } from './system-tool.ts'

/**
 * The file system as instances see it: a mount namespace of the machine's, in which names are asked of the sidecar's address,
 * processes of other users do not show in /proc, and what servers of the machine keep in /run is not there.
 */
export interface InstanceView {
  /** The open namespace. */
  readonly descriptor: number
  /** Processes of other users do not show in /proc. */
  readonly hidesProcesses: boolean
  close(): void
}

/** The folder below which an instance's view has room of its own, for root alone. */
export const VIEW_FOLDER = '/run/mayfly-view'
/** Where instances see the folder of compiled code. */
export const COMPILED_FOLDER = '/run/mayfly-compiled'
const READY_MS = 60_000

// Mounts that are made and removed on the machine show here, too (slave), so that nothing is held longer than there.
// /etc is covered by an overlay because what it says of names may be a link into /run, or missing.
// $0: COMPILED_FOLDER. $1: a place for the new /run before it covers the old one. $2: the folder of compiled code.
const SCRIPT = `set -e
umount -R -l /run/netns 2>/dev/null || true
# Before Linux 5.8 all views share the options of /proc: hiding there would hide everywhere.
if mount -t proc -o nosuid,nodev,noexec,hidepid=invisible proc /proc 2>/dev/null; then :; else echo no-hidepid; fi
mkdir -p "$1"
mount -t tmpfs -o mode=755,size=4m,nosuid,nodev tmpfs "$1"
mkdir "$1/\${0##*/}"
mount --bind "$2" "$1/\${0##*/}"
mount --rbind "$1" /run
mkdir -m 700 ${VIEW_FOLDER}
mkdir -m 755 ${VIEW_FOLDER}/etc
mkdir -m 700 ${VIEW_FOLDER}/work
printf 'nameserver ${INSIDE.sidecar}\\nsearch .\\noptions timeout:2 attempts:2\\n' >${VIEW_FOLDER}/etc/resolv.conf
printf '127.0.0.1 localhost\\n' >${VIEW_FOLDER}/etc/hosts
chmod 644 ${VIEW_FOLDER}/etc/*
mount -t overlay -o lowerdir=/etc,upperdir=${VIEW_FOLDER}/etc,workdir=${VIEW_FOLDER}/work overlay /etc
rm -rf /run/mount
echo ready
read -r _ || true
`

/** Makes the view, or says what the system refused. */
export async function makeView(
  unshare: string,
  folder: string,
  compiled: string,
): Promise<{ ok: true; view: InstanceView } | { ok: false; problem: string }> {
  const script = ['/bin/sh', '-c', SCRIPT, COMPILED_FOLDER, `${folder}/run`, compiled]
  const args = ['--mount', '--propagation', 'slave', '--', ...script]
  const child = spawn(unshare, args, { stdio: ['pipe', 'pipe', 'pipe'], cwd: '/', env: TOOL_ENVIRONMENT })
  const said = await untilReady(child, READY_MS)
  if (!said.ok) return { ok: false, problem: `the file system as instances are to see it: ${said.problem}` }
  // The open file keeps the namespace; the process is not needed any more.
  const descriptor = openSync(`/proc/${child.pid}/ns/mnt`, 'r')
  child.stdin!.end()
  const hidesProcesses = !said.output.includes('no-hidepid')
  return { ok: true, view: { descriptor, hidesProcesses, close: () => closeSync(descriptor) } }
}

/** Waits for a line `ready` of a script that then waits for the end of its input. */
export function untilReady(
  child: ChildProcess,
  timeoutMs: number,
): Promise<{ ok: true; output: string } | { ok: false; problem: string }> {
  return new Promise((resolve) => {
    let output = ''
    let errors = ''
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
    child.stdin!.on('error', () => {})
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-1_000)
      if (!/^ready$/m.test(output)) return
      clearTimeout(timer)
      resolve({ ok: true, output })
    })
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(0, 2_000)
    })
    const failed = (how: string) => {
      clearTimeout(timer)
      resolve({ ok: false, problem: errors.trim().replaceAll(/\s*\n\s*/g, '; ') || how })
    }
    child.on('error', (error) => failed(error.message))
    child.on('close', (code, signal) => {
      // What it said before it was killed is not why it failed.
      if (signal !== null) errors = ''
      failed(`it ended with ${signal ?? code}`)
    })
  })
}

/** A folder that others may not enter though files in it are needed, and the folders in it that are in the way, too. */
export interface ClosedFolder {
  path: string
  /** What is needed there, for example. */
  file: string
  /** Those that are to be entered, each above those in it. */
  enter: string[]
}

export type Readable = { ok: true; closed: ClosedFolder[] } | { ok: false; problem: string }

/** What stands between a user without rights of its own and these files and folders. */
export function closedFolders(files: readonly string[], folders: readonly string[]): Readable {
  const closed = new Map<string, ClosedFolder>()
  for (const path of [...files, ...folders]) {
    const isFile = files.includes(path)
    const own = statSync(path, { throwIfNoEntry: false })
    if (!own) return { ok: false, problem: `${path} does not exist` }
    if (isFile && (own.mode & 0o004) === 0) {
      return {
        ok: false,
        problem: `${path} may be read by its owner alone, and instances are users of their own: chmod o+r ${path}`,
      }
    }
    // Where the path leads by links is to be entered, too.
    for (const place of new Set([path, realpathSync(path)])) {
      let top: ClosedFolder | null = null
      for (const folder of ancestors(isFile ? dirname(place) : place)) {
        if ((statSync(folder).mode & 0o001) !== 0) continue
        top ??= closed.get(folder) ?? { path: folder, file: path, enter: [] }
        closed.set(top.path, top)
        if (!top.enter.includes(folder)) top.enter.push(folder)
      }
    }
  }
  return { ok: true, closed: [...closed.values()] }
}

/** A folder and those above it, the outermost first; the root is open to all. */
function ancestors(folder: string): string[] {
  const parent = dirname(folder)
  return parent === folder ? [] : [...ancestors(parent), folder]
}
