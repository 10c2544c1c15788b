import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Change, Entry, Store } from '../store/store.ts'

export type NodeRole = 'node' | 'gateway'

/** What is known of a token; the token itself is not kept. */
interface StoredToken {
  /** SHA-256 of the secret, hexadecimal. */
  secretHash: string
  role: NodeRole
  /** Milliseconds since the epoch. */
  expiresAt: number
}

export type Redeemed = { ok: true; role: NodeRole } | { ok: false }

export const NO_TOKEN =
  'the join token is not valid: it is used up, has expired or was never made; ask for another with `mayfly token`'

const TOKENS = 'join-tokens/'
const FORM = /^mayfly-join\.([0-9a-f]{12})\.([0-9A-Za-z_-]{43})\.([0-9a-f]{64})$/

/** Tokens with which nodes join: each once, for a short time. */
export class JoinTokens {
  readonly #store: Store
  readonly #rootHash: string
  readonly #now: () => number

  /** `root` is the certificate, as PEM, by which who has a token will know the control plane. */
  constructor(store: Store, root: string, now: () => number = Date.now) {
    this.#store = store
    this.#rootHash = certificateHash(root)
    this.#now = now
  }

  /** Makes a token of the form "mayfly-join.ID.SECRET.ROOTHASH", or says why it could not be stored. `more` goes into the same commit. */
  async create(
    role: NodeRole,
    validMs: number,
    more: readonly Change[] = [],
  ): Promise<{ ok: true; token: string } | { ok: false; message: string }> {
    const id = randomBytes(6).toString('hex')
    const secret = randomBytes(32).toString('base64url')
    const stored: StoredToken = { secretHash: hashOf(secret), role, expiresAt: this.#now() + validMs }
    const commit = await this.#store.commit([
      { kind: 'put', key: TOKENS + id, value: JSON.stringify(stored), ifModified: 0 },
      ...(await this.#expired()),
      ...more,
    ])
    if (!commit.ok) return { ok: false, message: commit.kind === 'conflict' ? 'try again' : commit.reason }
    return { ok: true, token: `mayfly-join.${id}.${secret}.${this.#rootHash}` }
  }

  /** Whether a token is good, without using it up. */
  async isValid(token: string): Promise<boolean> {
    return (await this.#find(token)) !== null
  }

  /** Uses a token up. Of several that try at once, one succeeds. */
  async redeem(token: string): Promise<Redeemed> {
    const found = await this.#find(token)
    if (found) {
      const { entry, stored } = found
      const commit = await this.#store.commit([
        { kind: 'delete', key: entry.key, ifModified: entry.modified },
      ])
      if (commit.ok) return { ok: true, role: stored.role }
    }
    return { ok: false }
  }

  async #find(token: string): Promise<{ entry: Entry; stored: StoredToken } | null> {
    const parts = FORM.exec(token)
    if (!parts) return null
    const [, id, secret] = parts
    const entry = await this.#store.get(TOKENS + id)
    if (!entry) return null
    const stored = JSON.parse(entry.value) as StoredToken
    const given = Buffer.from(hashOf(secret!), 'hex')
    const isGood =
      timingSafeEqual(given, Buffer.from(stored.secretHash, 'hex')) && this.#now() < stored.expiresAt
    return isGood ? { entry, stored } : null
  }

  async #expired(): Promise<{ kind: 'delete'; key: string }[]> {
    const { entries } = await this.#store.list(TOKENS)
    const old = entries.filter(({ value }) => (JSON.parse(value) as StoredToken).expiresAt <= this.#now())
    return old.map(({ key }) => ({ kind: 'delete', key }))
  }
}

/** The hash that a token names its control plane's root certificate by; null where it is no token. */
export function rootHashOf(token: string): string | null {
  return FORM.exec(token)?.[3] ?? null
}

/** SHA-256 of a PEM certificate's DER, hexadecimal. */
export function certificateHash(pem: string): string {
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
  return createHash('sha256').update(der).digest('hex')
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}
