import { rmSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { type AdminAnswer, listSockets, socketFolder, socketPath } from './admin-socket.ts'

/** Asks the running mesh (that of process `mesh`, or the only one there is). */
export async function askMesh<T>(
  mesh: string | undefined,
  path: string,
  body?: unknown,
): Promise<AdminAnswer<T>> {
  const opened = await openMesh(mesh, path, body)
  if (!opened.ok) return opened
  const response = opened.value
  try {
    let text = ''
    for await (const part of response.setEncoding('utf8')) text += part
    const value = JSON.parse(text)
    if (response.statusCode === 200) return { ok: true, value }
    return { ok: false, message: value.error ?? text }
  } catch (error) {
    return { ok: false, message: `the mesh's answer broke off: ${(error as Error).message}` }
  }
}

/** Like askMesh, for an answer of one JSON value a line that may never end; resolves when it has, or the mesh. */
export async function followMesh(
  mesh: string | undefined,
  path: string,
  line: (value: never) => void,
): Promise<AdminAnswer<null>> {
  const opened = await openMesh(mesh, path)
  if (!opened.ok) return opened
  let rest = ''
  try {
    for await (const part of opened.value.setEncoding('utf8')) {
      const lines = (rest + part).split('\n')
      rest = lines.pop()!
      for (const one of lines) line(JSON.parse(one) as never)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error
  }
  return { ok: true, value: null }
}

async function openMesh(
  mesh: string | undefined,
  path: string,
  body?: unknown,
): Promise<AdminAnswer<IncomingMessage>> {
  const chosen = await chooseMesh(mesh)
  return chosen.ok ? open(chosen.value, path, body) : chosen
}

async function chooseMesh(pid: string | undefined): Promise<AdminAnswer<string>> {
  const folder = socketFolder()
  if (!folder.ok) return folder
  const pids = await runningMeshes(folder.value)
  if (pid !== undefined) {
    if (pids.includes(Number(pid))) return { ok: true, value: socketPath(folder.value, Number(pid)) }
    const running = pids.length > 0 ? `there are: ${pids.join(', ')}` : 'none is running'
    return { ok: false, message: `--mesh ${pid}: there is no mesh with this process id; ${running}` }
  }
  if (pids.length === 1) return { ok: true, value: socketPath(folder.value, pids[0]!) }
  if (pids.length === 0) return { ok: false, message: 'no mesh is running: start one with `mayfly up DIR`' }
  return {
    ok: false,
    message: `several meshes are running: choose one with --mesh ${pids.join(' | --mesh ')}`,
  }
}

/** The meshes whose sockets accept connections; a socket that a killed mesh left behind is removed. */
async function runningMeshes(folder: string): Promise<number[]> {
  const running = await Promise.all(
    listSockets(folder).map(async (pid) => ((await accepts(socketPath(folder, pid))) ? [pid] : [])),
  )
  return running.flat()
}

function accepts(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket, () => {
      connection.destroy()
      resolve(true)
    })
    connection.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') rmSync(socket, { force: true })
      resolve(false)
    })
  })
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
