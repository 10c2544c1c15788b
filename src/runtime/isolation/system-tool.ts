import { spawn } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'

/** Where tools of the system are, besides the PATH: an operator's often lacks the sbin folders. */
const FOLDERS = ['/usr/sbin', '/usr/bin', '/sbin', '/bin']
/** A tool that takes longer has failed. */
const TIMEOUT_MS = 60_000
const MOST_SAID = 2_000

/** The programs that isolation needs, with the packages of Debian that have them. */
export const TOOLS = {
  ip: 'iproute2',
  tc: 'iproute2',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  flock: 'util-linux',
  mount: 'mount',
} as const

/** What tools are run with: nothing of the environment of whoever started the mesh. */
export const TOOL_ENVIRONMENT = { PATH: FOLDERS.join(':'), LC_ALL: 'C' }

/** The file of a tool; null where it is not installed. */
export function findTool(name: string): string | null {
  for (const folder of FOLDERS) {
    const found = statSync(join(folder, name), { throwIfNoEntry: false })
    if (found?.isFile() && (found.mode & 0o111) !== 0) return join(folder, name)
  }
  return null
}

export type ToolOutcome = { ok: true; output: string } | { ok: false; problem: string }

/** Runs a tool to its end. */
export function runTool(command: string, args: readonly string[], input = ''): Promise<ToolOutcome> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: '/',
      env: TOOL_ENVIRONMENT,
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
    })
    const said = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        said[name] = (said[name] + text).slice(0, MOST_SAID)
      })
    }
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    child.on('error', (error) => resolve({ ok: false, problem: `${command}: ${error.message}` }))
    child.on('close', (code, signal) => {
      if (code === 0) return resolve({ ok: true, output: said.stdout })
      const why = said.stderr.trim().replaceAll(/\s*\n\s*/g, '; ')
      resolve({ ok: false, problem: `${command}: ${why || `it ended with ${signal ?? code}`}` })
    })
  })
}
