import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'

/** The folder of this user's running meshes: one socket each, named for the mesh's process. */
export function socketFolder(): string {
  const base = process.env.XDG_RUNTIME_DIR || tmpdir()
  const folder = join(base, `mayfly-${userInfo().uid}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  return folder
}

export function socketPath(pid: number): string {
  return join(socketFolder(), `${pid}.sock`)
}

export type AdminAnswer<T> = { ok: true; value: T } | { ok: false; message: string }

/** Asks the running mesh (that of process `mesh`, or the only one there is). */
export async function askMesh<T>(
  mesh: string | undefined,
  path: string,
  body?: unknown,
): Promise<AdminAnswer<T>> {
  const chosen = chooseMesh(mesh)
  if (!chosen.ok) return chosen
  const opened = await open(chosen.value, path, body)
  if (!opened.ok) return opened
  const text = await textOf(opened.value)
  const value = JSON.parse(text)
  if (opened.value.statusCode === 200) return { ok: true, value }
  return { ok: false, message: value.error ?? text }
}

/** Like askMesh, for an answer of one JSON value a line that may never end. */
export async function followMesh(
  mesh: string | undefined,
  path: string,
  line: (value: never) => void,
): Promise<AdminAnswer<null>> {
  const chosen = chooseMesh(mesh)
  if (!chosen.ok) return chosen
  const opened = await open(chosen.value, path)
  if (!opened.ok) return opened
  let rest = ''
  for await (const part of opened.value.setEncoding('utf8')) {
    const lines = (rest + part).split('\n')
    rest = lines.pop()!
    for (const one of lines) line(JSON.parse(one) as never)
  }
  return { ok: true, value: null }
}

function chooseMesh(pid: string | undefined): AdminAnswer<string> {
  if (pid !== undefined) return { ok: true, value: socketPath(Number(pid)) }
  const pids = runningMeshes()
  if (pids.length === 1) return { ok: true, value: socketPath(pids[0]!) }
  if (pids.length === 0) return { ok: false, message: 'no mesh is running: start one with `mayfly up DIR`' }
  return {
    ok: false,
    message: `several meshes are running: choose one with --mesh ${pids.join(' | --mesh ')}`,
  }
}

function runningMeshes(): number[] {
  return readdirSync(socketFolder())
    .filter((name) => name.endsWith('.sock'))
    .map((name) => Number(name.slice(0, -'.sock'.length)))
    .filter((pid) => {
      if (isRunning(pid)) return true
      rmSync(socketPath(pid), { force: true }) // left by a mesh that was killed
      return false
    })
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function open(socket: string, path: string, body?: unknown): Promise<AdminAnswer<IncomingMessage>> {
  return new Promise((resolve) => {
    const method = body === undefined ? 'GET' : 'POST'
    const sent = request({ socketPath: socket, path: `/v1/${path}`, method }, (response) =>
      resolve({ ok: true, value: response }),
    )
    sent.on('error', (error) =>
      resolve({ ok: false, message: `the mesh does not answer at ${socket}: ${error.message}` }),
    )
    sent.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = ''
  for await (const part of response.setEncoding('utf8')) text += part
  return text
}
