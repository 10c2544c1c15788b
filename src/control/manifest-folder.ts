import { hash } from 'node:crypto'
import { statSync, watch } from 'node:fs'
import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

export interface ManifestFile {
  path: string
  text: string
}

/** Changes are read once nothing has happened for this long, or at the latest after LATEST_MS. In milliseconds. */
const QUIET_MS = 25
const LATEST_MS = 75
/** How long a file that is gone or shorter than it was is given to come back: an editor may be writing it. */
const HALF_WRITTEN_MS = 40
/** A folder that changes while it is read is read again, so often. */
const MOST_READS = 5

/** Reads every .yaml and .yml file in `path` and its folders (a single file is read whatever its name), sorted by path. Throws what the file system says. */
export async function readManifestFolder(path: string): Promise<ManifestFile[]> {
  for (let reads = 1; ; reads++) {
    try {
      const { files } = await listManifests(path)
      return await Promise.all(
        files.map(async (file) => ({ path: file, text: await readFile(file, 'utf8') })),
      )
    } catch (error) {
      // A file went away between the listing and the reading. Where the folder itself is gone, so is this.
      const gone = (error as NodeJS.ErrnoException).code === 'ENOENT'
      if (!gone || reads === MOST_READS) throw error
      await stat(path)
    }
  }
}

export interface FolderWatch {
  close(): void
}

/**
 * Calls `changed` with the manifests in `path` when they are no longer `known`, and `unreadable` when they can't be read.
 * One call ends before the next begins. A change of one of the files that `besides` names then (modules that manifests bring) is a
 * change of the manifests.
 */
export function watchManifestFolder(
  path: string,
  known: readonly ManifestFile[],
  on: { changed(files: ManifestFile[]): void; unreadable(error: NodeJS.ErrnoException): void },
  besides: () => readonly string[] = () => [],
): FolderWatch {
  const watchers = new Map<string, { close(): void }>()
  /** What was last reported: the files, or the message of an error. */
  let last: readonly Print[] | string = prints(known)
  let lastBesides = stamps(besides())
  let timer: NodeJS.Timeout | undefined
  let since: number | null = null
  let reading = false
  let closed = false

  function touch(): void {
    if (closed) return
    const now = performance.now()
    since ??= now
    clearTimeout(timer)
    timer = setTimeout(look, Math.max(0, Math.min(QUIET_MS, since + LATEST_MS - now)))
  }

  async function look(): Promise<void> {
    if (reading) return touch()
    reading = true
    since = null
    try {
      await watchFolders()
      let files = await readManifestFolder(path)
      let found = prints(files)
      if (typeof last !== 'string' && hasShrunk(last, found)) {
        await new Promise((resolve) => setTimeout(resolve, HALF_WRITTEN_MS))
        files = await readManifestFolder(path)
        found = prints(files)
      }
      const foundBesides = stamps(besides())
      if (closed || (typeof last !== 'string' && same(last, found) && lastBesides === foundBesides)) return
      last = found
      on.changed(files)
      lastBesides = stamps(besides())
    } catch (error) {
      const problem = error as NodeJS.ErrnoException
      if (closed || last === problem.message) return
      last = problem.message
      on.unreadable(problem)
    } finally {
      reading = false
    }
  }

  /** Watches exactly the folders from which manifests come now. */
  async function watchFolders(): Promise<void> {
    // The parent sees the folder itself come and go.
    const wanted = new Set([dirname(await resolved(path))])
    const listed = await listManifests(path).catch(() => ({ folders: [], files: [] }))
    for (const folder of listed.folders) wanted.add(folder)
    for (const file of [...listed.files, ...besides()]) wanted.add(dirname(await resolved(file)))
    if (closed) return
    for (const [folder, watcher] of watchers) {
      if (wanted.has(folder)) continue
      watcher.close()
      watchers.delete(folder)
    }
    for (const folder of wanted) if (!watchers.has(folder)) watchFolder(folder)
  }

  function watchFolder(folder: string): void {
    const forget = () => {
      watchers.get(folder)?.close()
      watchers.delete(folder)
    }
    try {
      const watcher = watch(folder, (event, name) => {
        // A watch stays with a folder that was removed or moved away, so it begins anew.
        if (event === 'rename' && name === basename(folder)) forget()
        touch()
      })
      watcher.on('error', () => {
        forget()
        touch()
      })
      watchers.set(folder, watcher)
      touch()
    } catch {
      // It went away just now; its parent's watch sees when it comes back.
    }
  }

  void watchFolders()
  return {
    close() {
      closed = true
      clearTimeout(timer)
      for (const watcher of watchers.values()) watcher.close()
    },
  }
}

/** The manifests' paths, and the folders in which they may lie. */
async function listManifests(path: string): Promise<{ files: string[]; folders: string[] }> {
  if (!(await stat(path)).isDirectory()) return { files: [path], folders: [dirname(path)] }
  const files: string[] = []
  const folders = [path]
  for (let i = 0; i < folders.length; i++) {
    for (const entry of await readdir(folders[i]!, { withFileTypes: true })) {
      // Hidden ones are an editor's, or a Kubernetes volume's own; installed packages hold no manifests of the user's.
      if (entry.name.startsWith('.') || entry.name === 'node_modules') continue
      const child = join(folders[i]!, entry.name)
      if (entry.isDirectory()) folders.push(child)
      else if (/\.ya?ml$/.test(entry.name)) {
        // Reading a pipe would wait for ever. A file that is named on the command line may be one.
        if (!entry.isFile() && !(await stat(child)).isFile())
          throw new Error(`${child} is no file: remove it`)
        files.push(child)
      }
    }
  }
  return { files: files.sort(), folders }
}

async function resolved(path: string): Promise<string> {
  return realpath(path).catch(() => path)
}

/** What is remembered of a file that was read, instead of its text. */
interface Print {
  path: string
  length: number
  hash: string
}

function prints(files: readonly ManifestFile[]): Print[] {
  return files.map(({ path, text }) => ({ path, length: text.length, hash: hash('sha1', text) }))
}

/** What is remembered of files whose contents are not read here: when they were changed, and how large they are. */
function stamps(paths: readonly string[]): string {
  return paths
    .map((path) => {
      const found = statSync(path, { throwIfNoEntry: false })
      return `${path} ${found?.mtimeMs} ${found?.size} ${found?.ino}`
    })
    .join('\n')
}

function same(a: readonly Print[], b: readonly Print[]): boolean {
  return a.length === b.length && a.every(({ path, hash }, i) => path === b[i]!.path && hash === b[i]!.hash)
}

/** Whether a file is missing or shorter than it was: it may be written just now. */
function hasShrunk(before: readonly Print[], after: readonly Print[]): boolean {
  const lengths = new Map(after.map(({ path, length }) => [path, length]))
  return before.some(({ path, length }) => (lengths.get(path) ?? -1) < length)
}
