import type { NodeRole } from '../api/join-tokens.ts'
import type { Change, Commit, Entry, Store } from '../store/store.ts'

/** A node that has joined the mesh, whether it is there now or not. */
export interface KnownNode {
  name: string
  role: NodeRole
  /** SHA-256 of the public keys (SPKI) that it proves itself by, hexadecimal: its own, and the one before it was renewed. */
  keyHashes: string[]
  /** RFC 3339, UTC. */
  joinedAt: string
  /** Further instances may start there. */
  schedulable: boolean
  /** What runs there is to go elsewhere; absent: it may stay. */
  draining?: boolean
}

const NODES = 'nodes/'

/** The nodes that belong to the mesh. Who is not in it has no business with the control plane, whatever its certificate says. */
export class NodeBook {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async get(name: string): Promise<KnownNode | null> {
    const entry = await this.#store.get(NODES + name)
    return entry && read(entry)
  }

  async list(): Promise<KnownNode[]> {
    return (await this.#store.list(NODES)).entries.map(read)
  }

  /** Notes a node that joins; one that had its name before has it no more. */
  joined(name: string, role: NodeRole, keyHash: string, now: number): Promise<Commit> {
    const node = {
      name,
      role,
      keyHashes: [keyHash],
      joinedAt: new Date(now).toISOString(),
      schedulable: true,
    }
    return this.#store.commit([put(node)])
  }

  /** The node has a new key. The one that it proved itself by stays good, in case it never hears of the new one. */
  renewed(name: string, by: string, keyHash: string): Promise<boolean> {
    return this.#change(name, (node) =>
      node.keyHashes.includes(by) ? { ...node, keyHashes: [keyHash, by] } : null,
    )
  }

  /** False where there is no such node, or the store does not answer. `more` goes into the same commit. */
  setSchedulable(
    name: string,
    schedulable: boolean,
    draining: boolean,
    more: readonly Change[],
  ): Promise<boolean> {
    return this.#change(name, (node) => ({ ...node, schedulable, draining }), more)
  }

  /** Takes its identity back. */
  async remove(name: string, more: readonly Change[]): Promise<boolean> {
    const entry = await this.#store.get(NODES + name)
    if (entry === null) return false
    const commit = await this.#store.commit([
      { kind: 'delete', key: entry.key, ifModified: entry.modified },
      ...more,
    ])
    return commit.ok
  }

  async #change(
    name: string,
    change: (node: KnownNode) => KnownNode | null,
    more: readonly Change[] = [],
  ): Promise<boolean> {
    const entry = await this.#store.get(NODES + name)
    const changed = entry && change(read(entry))
    if (!entry || !changed) return false
    const commit = await this.#store.commit([{ ...put(changed), ifModified: entry.modified }, ...more])
    return commit.ok
  }
}

function put(node: KnownNode): Extract<Change, { kind: 'put' }> {
  const { name, ...stored } = node
  return { kind: 'put', key: NODES + name, value: JSON.stringify(stored) }
}

function read({ key, value }: Entry): KnownNode {
  return { ...(JSON.parse(value) as Omit<KnownNode, 'name'>), name: key.slice(NODES.length) }
}
