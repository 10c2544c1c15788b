import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

/** A certificate and its private key, as PEM. */
export interface StoredKey {
  certificate: string
  key: string
}

export interface StoredAuthority {
  root: StoredKey
  epoch: number
  intermediate: StoredKey
}

/** Where the certificate authority's keys are kept. */
export interface AuthorityKeys {
  /** null: there is no authority yet. */
  read(): StoredAuthority | null | Promise<StoredAuthority | null>
  writeRoot(root: StoredKey): void | Promise<void>
  /** The epochs before it are removed: nothing is issued under them any more. */
  writeEpoch(epoch: number, intermediate: StoredKey): void | Promise<void>
}

/**
 * Keys in a folder: `root.key`, `root.pem`, `epoch-N.key`, `epoch-N.pem`; the highest N is in force. Makes the folder where it is
 * missing. Throws where others than this user could read or change what lies there.
 */
export function openAuthorityFolder(path: string): AuthorityKeys {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  const { uid, mode } = statSync(path)
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0) {
    throw new Error(`${path}: the certificate authority's folder must be this user's own: chmod 700 ${path}`)
  }
  return {
    read: () => read(path),
    writeRoot: (root) => writePair(path, 'root', root),
    writeEpoch: (epoch, intermediate) => {
      writePair(path, `epoch-${epoch}`, intermediate)
      for (const older of epochs(path)) {
        if (older >= epoch) continue
        for (const end of ['key', 'pem']) rmSync(join(path, `epoch-${older}.${end}`), { force: true })
      }
    },
  }
}

function read(path: string): StoredAuthority | null {
  const epoch = Math.max(0, ...epochs(path))
  if (epoch === 0) return null
  return { root: readPair(path, 'root'), epoch, intermediate: readPair(path, `epoch-${epoch}`) }
}

function epochs(path: string): number[] {
  return readdirSync(path).flatMap((name) => {
    // The certificate is written last, so that with it there is a whole epoch.
    const match = /^epoch-([1-9]\d{0,8})\.pem$/.exec(name)
    return match ? [Number(match[1])] : []
  })
}

function readPair(path: string, name: string): StoredKey {
  const keyFile = join(path, `${name}.key`)
  if ((statSync(keyFile).mode & 0o077) !== 0) {
    throw new Error(
      `${keyFile}: others may read the certificate authority's key: chmod 600 it, or make a new authority in another folder if they have`,
    )
  }
  return {
    certificate: readFileSync(join(path, `${name}.pem`), 'utf8'),
    key: readFileSync(keyFile, 'utf8'),
  }
}

function writePair(path: string, name: string, { certificate, key }: StoredKey): void {
  writeWhole(join(path, `${name}.key`), key, 0o600)
  writeWhole(join(path, `${name}.pem`), certificate, 0o644)
}

/** A reader, also one after a crash, sees all of it or nothing. */
function writeWhole(file: string, text: string, mode: number): void {
  const partial = `${file}.${process.pid}.tmp`
  writeFileSync(partial, text, { mode, flush: true })
  chmodSync(partial, mode)
  renameSync(partial, file)
}
