import { randomUUID } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

/**
 * Code that Node compiled for one function's instance, and from which the next one of the same revision starts in half the time.
 * An instance that is a user of its own can neither write where another reads nor read what another wrote, so what the first one
 * leaves is copied; later ones may only read the copy. Nothing goes from one function to another.
 */
export interface CompiledCode {
  /** The folder for an instance's NODE_COMPILE_CACHE, as the instance sees it. */
  folderFor(revision: string, user: number): string
  /** Copies what the instance has compiled, where there is no copy for its revision yet. It may be running, and hostile. */
  keep(user: number): void
  /** The instance is gone. */
  forget(user: number): void
}

export interface CompiledCodeCounters {
  compiledKept: number
  /** Copies that were not made or thrown away, since they would take too much room. */
  compiledDropped: number
}

/** Of one revision, and of all: both are held in memory (/run). */
const MOST_BYTES_EACH = 4 * 1024 * 1024
const MOST_FILES_EACH = 1_024
const MOST_BYTES = 64 * 1024 * 1024

interface Kept {
  /** Its folder's name. */
  name: string
  /** Node's name for the folder, without the user's number at its end. */
  tag: string
  bytes: number
}

/** `folder` is root's; instances see it as `seenAs`. */
export function createCompiledCode(
  folder: string,
  seenAs: string,
  counters: CompiledCodeCounters,
): CompiledCode {
  const [keptFolder, ownFolder] = [join(folder, 'kept'), join(folder, 'own')]
  rmSync(keptFolder, { recursive: true, force: true })
  rmSync(ownFolder, { recursive: true, force: true })
  for (const path of [folder, keptFolder, ownFolder]) mkdirSync(path, { recursive: true })
  // Others may go through, and cannot list what is there.
  for (const path of [folder, keptFolder, ownFolder]) chmodSync(path, 0o711)
  /** By revision; the one that was made first comes first. */
  const kept = new Map<string, Kept>()
  /** Revisions of instances that may write, by user. */
  const writing = new Map<number, string>()
  let bytes = 0

  function add(revision: string, found: { tag: string; files: Map<string, Buffer> }): void {
    const size = [...found.files.values()].reduce((sum, { length }) => sum + length, 0)
    for (const [oldest, { name, bytes: freed }] of kept) {
      if (bytes + size <= MOST_BYTES) break
      rmSync(join(keptFolder, name), { recursive: true, force: true })
      kept.delete(oldest)
      bytes -= freed
      counters.compiledDropped++
    }
    const name = randomUUID()
    const temporary = join(keptFolder, `.${name}`)
    mkdirSync(join(temporary, found.tag), { recursive: true })
    for (const [file, content] of found.files)
      writeFileSync(join(temporary, found.tag, file), content, { mode: 0o644 })
    for (const path of [join(temporary, found.tag), temporary]) chmodSync(path, 0o755)
    renameSync(temporary, join(keptFolder, name))
    kept.set(revision, { name, tag: found.tag, bytes: size })
    bytes += size
    counters.compiledKept++
  }

  return {
    folderFor(revision, user) {
      const own = join(ownFolder, String(user))
      rmSync(own, { recursive: true, force: true })
      mkdirSync(own)
      const known = kept.get(revision)
      if (known) {
        chmodSync(own, 0o755)
        symlinkSync(join(seenAs, 'kept', known.name, known.tag), join(own, `${known.tag}${user}`))
      } else {
        chmodSync(own, 0o700)
        chownSync(own, user, user)
        writing.set(user, revision)
      }
      return join(seenAs, 'own', String(user))
    },
    keep(user) {
      const revision = writing.get(user)
      if (revision === undefined || kept.has(revision)) return
      const found = readCompiled(join(ownFolder, String(user)), user)
      if (found === 'none') return
      if (found === 'too much') counters.compiledDropped++
      else add(revision, found)
    },
    forget(user) {
      writing.delete(user)
      rmSync(join(ownFolder, String(user)), { recursive: true, force: true })
    },
  }
}

/** What a user has compiled. Whatever it may have put there instead is left out: folders, links, pipes, files of others. */
function readCompiled(
  folder: string,
  user: number,
): { tag: string; files: Map<string, Buffer> } | 'none' | 'too much' {
  const names = readdirSync(folder).filter((name) => TAG.test(name) && name.endsWith(`-${user}`))
  if (names.length !== 1) return 'none'
  const opened = open(join(folder, names[0]!), constants.O_DIRECTORY)
  if (opened === null) return 'none'
  const files = new Map<string, Buffer>()
  let bytes = 0
  try {
    // By the open folder: the name may lead elsewhere by now.
    const path = `/proc/self/fd/${opened}`
    for (const name of readdirSync(path)) {
      if (!/^[0-9a-f]{1,16}$/.test(name)) continue
      const content = readOwn(`${path}/${name}`, user)
      if (content === null) continue
      bytes += content.length
      if (bytes > MOST_BYTES_EACH || files.size === MOST_FILES_EACH) return 'too much'
      files.set(name, content)
    }
  } finally {
    closeSync(opened)
  }
  return files.size === 0 ? 'none' : { tag: names[0]!.slice(0, -String(user).length), files }
}

function readOwn(path: string, user: number): Buffer | null {
  const descriptor = open(path, constants.O_NONBLOCK)
  if (descriptor === null) return null
  try {
    const { uid, size } = fstatSync(descriptor)
    const isFile = fstatSync(descriptor).isFile()
    return isFile && uid === user && size <= MOST_BYTES_EACH ? readFileSync(descriptor) : null
  } finally {
    closeSync(descriptor)
  }
}

function open(path: string, flags: number): number | null {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | flags)
  } catch {
    return null
  }
}

/** Node's: "v26.10.0-x64-310b2ce3-0", the last number being the user. */
const TAG = /^v[0-9A-Za-z.-]+-\d+$/
