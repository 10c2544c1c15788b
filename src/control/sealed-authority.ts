import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import type { AuthorityKeys, StoredKey } from './authority-folder.ts'
import { type Entry, type Store, StoreError } from './store/store.ts'

// Where several control planes share a store, the certificate authority's certificates lie there in the clear and its private
// keys sealed (AES-256-GCM) by a key that is in a file of each control plane's machine and never in the store: who can read the
// store, or a backup of it, cannot make identities. The operator copies that file to each machine.

const KEY = 'authority'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

interface SealedKey {
  certificate: string
  /** Base64 of nonce, ciphertext and tag; the certificate is authenticated with it. */
  sealedKey: string
}

interface SealedAuthority {
  root: SealedKey
  epoch: number
  intermediate: SealedKey
}

/** Where the authority's keys are kept in a store, sealed by the key in `file`, which is made where the store has no authority yet. */
export async function sealedAuthority(store: Store, file: string): Promise<AuthorityKeys> {
  let entry = await store.get(KEY)
  if (entry === null && !existsSync(file)) makeKey(file)
  const secret = readKey(file, entry !== null)
  const open = (sealed: SealedKey): StoredKey => unseal(sealed, secret, file)
  let root: StoredKey | null = null
  return {
    async read() {
      entry = await store.get(KEY)
      if (entry === null) return null
      const stored = JSON.parse(entry.value) as SealedAuthority
      root = open(stored.root)
      return { root, epoch: stored.epoch, intermediate: open(stored.intermediate) }
    },
    // Written with the first epoch, so that there is a whole authority or none.
    writeRoot(made) {
      root = made
    },
    async writeEpoch(epoch, intermediate) {
      const value: SealedAuthority = {
        root: seal(root!, secret),
        epoch,
        intermediate: seal(intermediate, secret),
      }
      const commit = await store.commit([
        { kind: 'put', key: KEY, value: JSON.stringify(value), ifModified: entry?.modified ?? 0 },
      ])
      if (commit.ok) {
        entry = {
          key: KEY,
          value: JSON.stringify(value),
          created: entry?.created ?? commit.revision,
          modified: commit.revision,
        }
        return
      }
      const reason =
        commit.kind === 'conflict' ? 'another control plane wrote it at the same time' : commit.reason
      throw new StoreError('unavailable', `the certificate authority could not be kept: ${reason}: try again`)
    },
  }
}

/** Throws where what a backup holds of an authority cannot be opened by the key in `file`. */
export function checkSealed(backup: readonly Entry[], file: string): void {
  const entry = backup.find(({ key }) => key === KEY)
  if (!entry) return
  const { root, intermediate } = JSON.parse(entry.value) as SealedAuthority
  const secret = readKey(file, true)
  for (const sealed of [root, intermediate]) unseal(sealed, secret, file)
}

function makeKey(file: string): void {
  writeFileSync(file, `${randomBytes(KEY_BYTES).toString('base64')}\n`, {
    mode: 0o600,
    flag: 'wx',
    flush: true,
  })
}

function readKey(file: string, isNeeded: boolean): Buffer {
  if (!existsSync(file) && isNeeded)
    throw new Error(
      `${file}: there is no such file: copy it from the control plane that the mesh was begun with, or name it with --authority-key`,
    )
  if ((statSync(file).mode & 0o077) !== 0)
    throw new Error(`${file}: others may read the key of the certificate authority: chmod 600 ${file}`)
  const key = Buffer.from(readFileSync(file, 'utf8').trim(), 'base64')
  if (key.length !== KEY_BYTES)
    throw new Error(
      `${file}: expected ${KEY_BYTES} bytes in base64, as \`openssl rand -base64 32\` writes them`,
    )
  return key
}

function seal({ certificate, key }: StoredKey, secret: Buffer): SealedKey {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', secret, nonce).setAAD(Buffer.from(certificate))
  const sealed = Buffer.concat([nonce, cipher.update(key, 'utf8'), cipher.final(), cipher.getAuthTag()])
  return { certificate, sealedKey: sealed.toString('base64') }
}

function unseal({ certificate, sealedKey }: SealedKey, secret: Buffer, file: string): StoredKey {
  const sealed = Buffer.from(sealedKey, 'base64')
  try {
    const nonce = sealed.subarray(0, NONCE_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', secret, nonce, { authTagLength: TAG_BYTES })
    decipher.setAAD(Buffer.from(certificate)).setAuthTag(sealed.subarray(-TAG_BYTES))
    const key =
      decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
    return { certificate, key }
  } catch {
    throw new Error(
      `${file} is not the key that the store's certificate authority is sealed by, or the store was tampered with: copy the file from the control plane that the mesh was begun with`,
    )
  }
}
