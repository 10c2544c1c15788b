import type { Mesh } from '../mesh.ts'
import type { FromNode, Hello } from '../proto/mayfly/v1/nodes_pb.js'
import { AbsentEngines } from './absent-engines.ts'
import { type Arrival, Arrivals } from './arrivals.ts'
import { type NodeStream, RemoteNode } from './remote-node.ts'

/** A node whose stream is broken counts as lost after this time, and what ran there is started elsewhere. In milliseconds. */
export const GRACE_MS = 3_000

interface Member {
  node: RemoteNode
  stream: NodeStream | null
  lost: NodeJS.Timeout | null
}

/** The nodes of a mesh that other processes run, each with its stream while it has one. */
export class NodeRegistry {
  readonly #mesh: Mesh
  readonly #notice: (text: string) => void
  readonly #members = new Map<string, Member>()
  readonly #arrivals: Arrivals
  readonly #absent: AbsentEngines

  /** `expected`: nodes that were of the mesh before this control plane began. */
  constructor(mesh: Mesh, notice: (text: string) => void, expected: Iterable<string> = []) {
    this.#mesh = mesh
    this.#notice = notice
    this.#arrivals = new Arrivals(expected, (arrivals) => this.#admit(arrivals))
    this.#absent = new AbsentEngines((engines) => mesh.forgetEngines(engines))
  }

  node(name: string): RemoteNode | undefined {
    return this.#members.get(name)?.node
  }

  nodes(): RemoteNode[] {
    return Array.from(this.#members.values(), ({ node }) => node)
  }

  /** A node has opened a stream. One that it had before is out of use. */
  opened(name: string, hello: Hello, stream: NodeStream): void {
    if (!this.#arrivals.opened(name, hello, stream)) this.#admit([{ name, hello, stream, said: [] }])
  }

  said(name: string, stream: NodeStream, message: FromNode): void {
    if (this.#arrivals.said(name, stream, () => this.said(name, stream, message))) return
    const member = this.#members.get(name)
    if (!member || member.stream !== stream) return
    const before = member.node.address
    member.node.receive(message)
    const { address } = member.node
    if (before?.port !== address?.port || before?.host !== address?.host) this.#mesh.nodesChanged()
  }

  closed(name: string, stream: NodeStream): void {
    if (this.#arrivals.closed(name, stream)) return
    const member = this.#members.get(name)
    if (!member || member.stream !== stream) return
    member.stream = null
    member.node.detach(stream)
    member.lost = setTimeout(
      () => this.#lose(name, 'it was out of reach for too long', 'out of reach'),
      GRACE_MS,
    )
  }

  close(): void {
    this.#arrivals.close()
    this.#absent.close()
    for (const { lost } of this.#members.values()) if (lost) clearTimeout(lost)
  }

  /** All at once, so that nothing is shared or started before it is known what each of them has. */
  #admit(arrivals: readonly Arrival[]): void {
    for (const { name, hello } of arrivals) {
      const before = this.#members.get(name)
      if (before && before.node.hello.incarnation !== hello.incarnation)
        this.#lose(name, 'it was started anew', 'ended')
      this.#absent.back(
        name,
        hello.incarnation,
        hello.engines.map(({ engine }) => engine),
      )
    }
    this.#join(arrivals.filter(({ name }) => !this.#members.has(name)))
    for (const { name, hello, stream } of arrivals) {
      const member = this.#members.get(name)!
      if (member.lost) clearTimeout(member.lost)
      member.lost = null
      member.stream = stream
      member.node.attach(stream, hello)
    }
    this.#mesh.nodesChanged()
    for (const { said } of arrivals) for (const take of said) take()
  }

  #join(arrivals: readonly Arrival[]): void {
    const nodes: RemoteNode[] = []
    this.#mesh.attach(
      arrivals.map(({ name, hello }) => (events) => {
        const node = new RemoteNode(name, hello, events)
        nodes.push(node)
        return node
      }),
    )
    for (const node of nodes) {
      node.claim()
      this.#members.set(node.name, { node, stream: null, lost: null })
      this.#notice(`node ${node.name} has joined`)
    }
  }

  #lose(name: string, why: string, engines: 'ended' | 'out of reach'): void {
    const member = this.#members.get(name)
    if (!member) return
    this.#members.delete(name)
    if (member.lost) clearTimeout(member.lost)
    this.#notice(`node ${name} is lost: ${why}`)
    if (engines === 'out of reach')
      this.#absent.add(name, member.node.hello.incarnation, member.node.engines())
    this.#mesh.detach(member.node, engines)
    member.node.lose()
  }
}
