import type { Mesh } from '../mesh.ts'
import type { FromNode, Hello } from '../proto/mayfly/v1/nodes_pb.js'
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

  constructor(mesh: Mesh, notice: (text: string) => void) {
    this.#mesh = mesh
    this.#notice = notice
  }

  node(name: string): RemoteNode | undefined {
    return this.#members.get(name)?.node
  }

  nodes(): RemoteNode[] {
    return Array.from(this.#members.values(), ({ node }) => node)
  }

  /** A node has opened a stream. One that it had before is out of use. */
  opened(name: string, hello: Hello, stream: NodeStream): void {
    const before = this.#members.get(name)
    if (before && before.node.hello.incarnation !== hello.incarnation) this.#lose(name, 'it was started anew')
    const member = this.#members.get(name) ?? this.#join(name, hello)
    if (member.lost) clearTimeout(member.lost)
    member.lost = null
    member.stream = stream
    member.node.attach(stream, hello)
    this.#mesh.nodesChanged()
  }

  said(name: string, stream: NodeStream, message: FromNode): void {
    const member = this.#members.get(name)
    if (!member || member.stream !== stream) return
    const before = member.node.address
    member.node.receive(message)
    const { address } = member.node
    if (before?.port !== address?.port || before?.host !== address?.host) this.#mesh.nodesChanged()
  }

  closed(name: string, stream: NodeStream): void {
    const member = this.#members.get(name)
    if (!member || member.stream !== stream) return
    member.stream = null
    member.node.detach(stream)
    member.lost = setTimeout(() => this.#lose(name, 'it was out of reach for too long'), GRACE_MS)
  }

  close(): void {
    for (const { lost } of this.#members.values()) if (lost) clearTimeout(lost)
  }

  #join(name: string, hello: Hello): Member {
    const node = this.#mesh.attach((events) => new RemoteNode(name, hello, events)) as RemoteNode
    const member: Member = { node, stream: null, lost: null }
    this.#members.set(name, member)
    this.#notice(`node ${name} has joined`)
    return member
  }

  #lose(name: string, why: string): void {
    const member = this.#members.get(name)
    if (!member) return
    this.#members.delete(name)
    if (member.lost) clearTimeout(member.lost)
    this.#notice(`node ${name} is lost: ${why}`)
    this.#mesh.detach(member.node)
    member.node.lose()
  }
}
