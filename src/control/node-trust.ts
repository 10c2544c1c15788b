import type { ToEngine } from '../dataplane/engine-messages.ts'
import { nodePrincipalOf } from '../dataplane/engine-node.ts'
import type { CertificateAuthority } from './certificate-authority.ts'
import type { CompiledMesh } from './compile-mesh.ts'
import { gatewayPrincipal, trustDomains } from './gateway-identity.ts'
import { IdentityBook } from './identity-book.ts'
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
  /** Those of all functions. */
  readonly #speaksFor: NodeTrustParts['speaksFor']
  /** Functions by their principals. */
  #principals: { of: CompiledMesh; keys: ReadonlyMap<string, readonly string[]> } | null = null

  constructor({ authority, nodes, compiled, speaksFor, notice }: NodeTrustParts) {
    this.#nodes = nodes
    this.#compiled = compiled
    this.#speaksFor = speaksFor
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

  /** The mesh's configuration or its functions may be others. */
  applied(before: CompiledMesh): void {
    const { config } = this.#compiled()
    this.identities.setTrustDomains(trustDomains(config))
    this.identities.prune()
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
    return this.#functionsOf(principal).some((key) => this.#speaksFor(node, key))
  }

  #functionsOf(principal: string): readonly string[] {
    const of = this.#compiled()
    if (this.#principals?.of !== of) {
      const keys = new Map<string, string[]>()
      for (const { spec } of of.functions.values()) {
        const same = keys.get(spec.principal)
        if (same) same.push(spec.key)
        else keys.set(spec.principal, [spec.key])
      }
      this.#principals = { of, keys }
    }
    return this.#principals.keys.get(principal) ?? []
  }
}
