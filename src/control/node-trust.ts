import type { ToEngine } from '../dataplane/engine-messages.ts'
import { nodePrincipalOf } from '../dataplane/engine-node.ts'
import { Buckets } from './buckets.ts'
import type { CertificateAuthority } from './certificate-authority.ts'
import type { CompiledMesh } from './compile-mesh.ts'
import { gatewayPrincipal, trustDomains } from './gateway-identity.ts'
import { IdentityBook } from './identity-book.ts'
import type { MeshDifference } from './mesh-difference.ts'
import type { MeshNode } from './mesh-node.ts'
import type { MeshNodes } from './mesh-nodes.ts'

export interface NodeTrustParts {
  authority: CertificateAuthority
  nodes: MeshNodes
  compiled(): CompiledMesh
  /** Whether a function runs on a node, or calls from there. */
  speaksFor(node: MeshNode, key: string): boolean
  notice(text: string): void
}

/** By what nodes know each other: whom they trust, and for whom each may speak. */
export class NodeTrust {
  readonly identities: IdentityBook
  readonly #nodes: MeshNodes
  readonly #compiled: () => CompiledMesh
  /** What each node was told last, as text: most nodes that come and go change nothing for the others. */
  readonly #told = new WeakMap<MeshNode, string>()
  readonly #speaksFor: NodeTrustParts['speaksFor']
  /** Functions by their principals. */
  readonly #principals = new Buckets<string>()

  constructor({ authority, nodes, compiled, speaksFor, notice }: NodeTrustParts) {
    this.#nodes = nodes
    this.#compiled = compiled
    this.#speaksFor = speaksFor
    for (const { spec } of compiled().functions.values()) this.#principals.add(spec.principal, spec.key)
    this.identities = new IdentityBook({
      authority,
      trustDomains: trustDomains(compiled().config),
      mayHold: (engine, principal) => this.#mayHold(engine, principal),
      send: (engine, message) => nodes.send(engine, message),
      trustChanged: () => this.tell(),
      settled: () => nodes.query({ kind: 'identities' }),
      notice,
    })
  }

  /** What a node's engines are told. */
  message(node: MeshNode): ToEngine {
    const { name } = node
    const principal = gatewayPrincipal(this.#compiled().config)
    const trust = this.identities.trust(name)
    return {
      type: 'node',
      node: { name, forwards: this.#nodes.forwards(node), gatewayPrincipal: principal, trust },
    }
  }

  /** Tells all nodes for which something is another: which nodes there are, or whom they trust, has changed. */
  tell(): void {
    for (const node of this.#nodes.all) {
      const message = this.message(node)
      const text = JSON.stringify(message)
      if (this.#told.get(node) === text) continue
      this.#told.set(node, text)
      node.broadcast(message)
    }
  }

  /** The mesh's configuration or its functions are others. */
  applied(before: CompiledMesh, { upsert, remove }: MeshDifference): void {
    const { config, functions } = this.#compiled()
    this.identities.setTrustDomains(trustDomains(config))
    let lost = before.config !== config
    for (const key of [...upsert.map(({ spec }) => spec.key), ...remove]) {
      const was = before.functions.get(key)?.spec.principal
      const is = functions.get(key)?.spec.principal
      if (was === is) continue
      if (was !== undefined) {
        this.#principals.remove(was, key)
        lost = true
      }
      if (is !== undefined) this.#principals.add(is, key)
    }
    if (lost) this.identities.prune()
    if (before.config.trustDomain !== config.trustDomain) this.tell()
  }

  /** A node speaks for the gateway, or for functions that run on it. */
  #mayHold(engine: string, principal: string): boolean {
    const node = this.#nodes.nodeOf(engine)
    if (!node) return false
    const gateway = gatewayPrincipal(this.#compiled().config)
    if (principal === gateway) return node.isGateway
    if (!node.runsInstances) return false
    if (principal === nodePrincipalOf(gateway)) return true
    return this.#principals.get(principal).some((key) => this.#speaksFor(node, key))
  }
}
