import type { Change, Store } from '../store/store.ts'

/** A client that was given a credential. */
export interface KnownClient {
  name: string
  /** SHA-256 of its public key (SPKI), hexadecimal: a certificate of any other key is not its. */
  keyHash: string
  readOnly: boolean
  /** RFC 3339, UTC. */
  createdAt: string
  expiresAt: string
  createdBy: string
}

/** The client whose credential the control plane writes for itself: it is as good as the folder in which that lies. */
export const ADMIN = 'admin'

const CLIENTS = 'clients/'

/** The clients that have credentials. One that is taken back ends at once, since each call looks here. */
export class ClientBook {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async get(name: string): Promise<KnownClient | null> {
    const entry = await this.#store.get(CLIENTS + name)
    return entry && (JSON.parse(entry.value) as KnownClient)
  }

  async list(): Promise<KnownClient[]> {
    const { entries } = await this.#store.list(CLIENTS)
    return entries.map(({ value }) => JSON.parse(value) as KnownClient)
  }

  /** The changes that note a client; one that had its name before has it no more. */
  noting(client: KnownClient): Change[] {
    return [{ kind: 'put', key: CLIENTS + client.name, value: JSON.stringify(client) }]
  }

  forgetting(name: string): Change[] {
    return [{ kind: 'delete', key: CLIENTS + name }]
  }

  /** Calls `changed` whenever a client may have been taken back or given anew; gives what ends that. */
  watch(name: string, changed: () => void): () => void {
    const key = CLIENTS + name
    return this.#store.watch(key, {
      changed: (events) => {
        if (events.some((event) => event.key === key)) changed()
      },
      lost: changed,
    })
  }
}
