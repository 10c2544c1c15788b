import { chmodSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type AdminAnswer<T> = { ok: true; value: T } | { ok: false; message: string }

/** Longest path of a Unix socket that every supported system takes, in bytes. */
const MOST_PATH = 103

/** The folder of this user's running meshes: one socket each, named for the mesh's process. Who may open one controls the mesh. */
export function socketFolder(): AdminAnswer<string> {
  const uid = process.getuid?.() ?? 0
  const folder = join(process.env.XDG_RUNTIME_DIR || tmpdir(), `mayfly-${uid}`)
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    // Not stat: in a folder that all may write, somebody else may have put a link there.
    const found = lstatSync(folder)
    if (!found.isDirectory() || found.uid !== uid) {
      return {
        ok: false,
        message: `${folder} belongs to somebody else, who could control your mesh: remove it, or set XDG_RUNTIME_DIR to a folder of your own`,
      }
    }
    if ((found.mode & 0o077) !== 0) chmodSync(folder, 0o700)
  } catch (error) {
    return {
      ok: false,
      message: `no folder for the mesh's socket: ${(error as Error).message}: set XDG_RUNTIME_DIR to a folder that you may write`,
    }
  }
  return { ok: true, value: folder }
}

export function socketPath(folder: string, pid: number): string {
  return join(folder, `${pid}.sock`)
}

/** Where this process is to listen; what an earlier process with the same id left there is removed. */
export function ownSocket(): AdminAnswer<string> {
  const folder = socketFolder()
  if (!folder.ok) return folder
  const path = socketPath(folder.value, process.pid)
  if (Buffer.byteLength(path) > MOST_PATH) {
    return {
      ok: false,
      message: `${path} is too long for a socket (more than ${MOST_PATH} bytes): set XDG_RUNTIME_DIR to a shorter one`,
    }
  }
  rmSync(path, { force: true })
  return { ok: true, value: path }
}

/** The process ids for which there is a socket, whether anybody listens or not. */
export function listSockets(folder: string): number[] {
  return readdirSync(folder).flatMap((name) => {
    const pid = /^(\d+)\.sock$/.exec(name)
    return pid ? [Number(pid[1])] : []
  })
}
