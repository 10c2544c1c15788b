import { type FSWatcher, watch } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

export interface ManifestFile {
  path: string
  text: string
}

/** An editor writes a file in several steps: changes are read once nothing has happened for this long, in milliseconds. */
const QUIET_MS = 25

/** Reads every .yaml and .yml file in `path` and its folders (a single file is read whatever its name), sorted by path. Throws what the file system says. */
export async function readManifestFolder(path: string): Promise<ManifestFile[]> {
  if (!(await stat(path)).isDirectory()) return [{ path, text: await readFile(path, 'utf8') }]
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  const paths = entries
    .filter((entry) => !entry.isDirectory() && isManifest(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !IGNORED.test(file.slice(path.length)))
    .sort()
  return Promise.all(paths.map(async (file) => ({ path: file, text: await readFile(file, 'utf8') })))
}

/** Calls `changed` when manifests in `path` may have changed. Closing the result ends that. */
export function watchManifestFolder(path: string, changed: () => void): { close(): void } {
  let timer: NodeJS.Timeout | undefined
  const touch = () => {
    clearTimeout(timer)
    timer = setTimeout(changed, QUIET_MS)
  }
  const watcher = startWatching(path, touch)
  return {
    close() {
      clearTimeout(timer)
      watcher.close()
    },
  }
}

function startWatching(path: string, touch: () => void): FSWatcher {
  if (isManifest(path)) {
    // Editors replace a file by a new one, which ends a watch on the file itself.
    return watch(dirname(path), (_, name) => {
      if (name === null || name === basename(path)) touch()
    })
  }
  return watch(path, { recursive: true }, (_, name) => {
    // A folder that is moved in or out is named by itself alone.
    if (name === null || isManifest(name) || !name.includes('.')) touch()
  })
}

function isManifest(name: string): boolean {
  return /\.ya?ml$/.test(name)
}

/** Hidden folders and installed packages hold no manifests of the user's. */
const IGNORED = /(^|\/)(\.[^/]+|node_modules)\//
