import type { Mesh } from '../mesh.ts'
import type { FromNode, Hello } from '../proto/mayfly/v1/nodes_pb.js'
import { AbsentEngines } from './absent-engines.ts'
import { type Arrival, Arrivals } from './arrivals.ts'
import { helloProblem } from './hello-problem.ts'
import type { KnownNode } from './node-book.ts'
import type { NodeStream } from './node-outbox.ts'
import { RemoteNode } from './remote-node.ts'

/** A node whose stream is broken counts as lost after this time, and what ran there is started elsewhere. In milliseconds. */
export const GRACE_MS = 3_000

interface Member {
  node: RemoteNode
  stream: NodeStream | null
  lost: NodeJS.Timeout | null
  /** Milliseconds since the epoch. */
  seenAt: number
}

/** What a node had when it was last heard of. */
interface Past {
  incarnation: string
  /** Instances, by their sets' names. */
  held: ReadonlyMap<string, number>
  seenAt: number
}

/** The nodes of a mesh that other processes run, each with its stream while it has one. */
export class NodeRegistry {
  readonly #mesh: Mesh
  readonly #notice: (text: string) => void
  readonly #members = new Map<string, Member>()
  /** Nodes that were of the mesh before this control plane began: what they have is taken over when they come. */
  readonly #expected: Set<string>
  readonly #past = new Map<string, Past>()
  #arrivals: Arrivals
  /** Nodes that were given up while out of reach, and may come back. */
  readonly #missed = new Set<string>()
  readonly #absent: AbsentEngines

  constructor(mesh: Mesh, notice: (text: string) => void, expected: Iterable<string> = []) {
    this.#mesh = mesh
    this.#notice = notice
    this.#expected = new Set(expected)
    this.#arrivals = new Arrivals(this.#expected, (arrivals) => this.#admit(arrivals))
    this.#absent = new AbsentEngines((engines) => mesh.forgetEngines(engines))
  }

  node(name: string): RemoteNode | undefined {
    return this.#members.get(name)?.node
  }

  /** Whether somebody is at work by that name. */
  isAttached(name: string): boolean {
    return this.#members.get(name)?.stream != null
  }

  /** When something was last heard of a node, in milliseconds since the epoch; null: not since this control plane began. */
  seenAt(name: string): number | null {
    return this.#members.get(name)?.seenAt ?? this.#past.get(name)?.seenAt ?? null
  }

  /** The node is none of the mesh any more: what it had is gone at once. */
  remove(name: string): void {
    this.#arrivals.remove(name)
    this.#missed.delete(name)
    this.#lose(name, 'it was deleted', 'out of reach')
    this.#past.delete(name)
    this.#expected.delete(name)
  }

  /** Somebody has joined under the name: what another one had by it before is not to be theirs. */
  joined(name: string): void {
    this.#past.delete(name)
    this.#expected.delete(name)
  }

  nodes(): RemoteNode[] {
    return Array.from(this.#members.values(), ({ node }) => node)
  }

  /** A node has opened a stream. One that it had before is out of use. */
  opened(name: string, hello: Hello, stream: NodeStream): void {
    // It was this control plane that nobody could reach: as at its start, all are to be there before anything is decided.
    if (this.#members.size === 0 && this.#missed.size > 0) {
      this.#arrivals.close()
      this.#arrivals = new Arrivals(this.#missed, (arrivals) => this.#admit(arrivals))
      this.#missed.clear()
    }
    if (!this.#arrivals.opened(name, hello, stream)) this.#admit([{ name, hello, stream, said: [] }])
  }

  /** Gives what is wrong with what it said, or null. */
  said(known: KnownNode, stream: NodeStream, message: FromNode): string | null {
    const take = () => {
      const problem = this.said(known, stream, message)
      if (problem !== null) stream.end(problem)
    }
    if (this.#arrivals.said(known.name, stream, take)) return null
    const member = this.#members.get(known.name)
    if (!member || member.stream !== stream) return null
    member.seenAt = Date.now()
    const before = member.node.address
    const { what } = message
    const problem =
      (what.case === 'hello' ? helloProblem(known, what.value) : null) ?? member.node.receive(message)
    if (problem !== null) {
      this.#notice(`node ${known.name} says what is not its to say: ${problem}`)
      return problem
    }
    const { address } = member.node
    if (before?.port !== address?.port || before?.host !== address?.host) this.#mesh.nodesChanged()
    return null
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

  /** Ends all streams: this control plane decides no more. */
  close(): void {
    this.#arrivals.close()
    this.#absent.close()
    for (const { stream, lost } of this.#members.values()) {
      if (lost) clearTimeout(lost)
      stream?.end('this control plane leads no more')
    }
    this.#members.clear()
  }

  /** All at once, so that nothing is shared or started before it is known what each of them has. */
  #admit(arrivals: readonly Arrival[]): void {
    for (const { name, hello } of arrivals) {
      const before = this.#members.get(name)
      if (before && before.node.hello.incarnation !== hello.incarnation)
        this.#lose(name, 'it was started anew', 'ended')
    }
    this.#join(arrivals.filter(({ name }) => !this.#members.has(name)))
    // What their new engines have taken over is theirs by now.
    for (const { name, hello } of arrivals)
      this.#absent.back(
        name,
        hello.incarnation,
        hello.engines.map(({ engine }) => engine),
      )
    for (const { name, hello, stream } of arrivals) {
      const member = this.#members.get(name)!
      if (member.lost) clearTimeout(member.lost)
      member.lost = null
      if (member.stream && member.stream !== stream) member.stream.end('the node has opened another stream')
      member.stream = stream
      member.seenAt = Date.now()
      member.node.attach(stream, hello)
    }
    this.#mesh.nodesChanged()
    for (const { said } of arrivals) for (const take of said) take()
  }

  #join(arrivals: readonly Arrival[]): void {
    const nodes: RemoteNode[] = []
    this.#mesh.attach(
      arrivals.map(({ name, hello }) => (events) => {
        const node = new RemoteNode(name, hello, events, this.#mayBring(name, hello))
        nodes.push(node)
        return node
      }),
    )
    for (const node of nodes) {
      node.claim()
      this.#missed.delete(node.name)
      this.#members.set(node.name, { node, stream: null, lost: null, seenAt: Date.now() })
      this.#notice(`node ${node.name} has joined`)
    }
  }

  /** How many instances of a set a node may have: none that nobody has asked it for, before or since. */
  #mayBring(name: string, { incarnation }: Hello): (set: string) => number {
    if (this.#expected.delete(name)) return () => Number.POSITIVE_INFINITY
    const past = this.#past.get(name)
    return (set) => (past?.incarnation === incarnation ? (past.held.get(set) ?? 0) : 0)
  }

  #lose(name: string, why: string, engines: 'ended' | 'out of reach'): void {
    const member = this.#members.get(name)
    if (!member) return
    this.#members.delete(name)
    member.stream?.end(`node ${name} is no part of the mesh any more: ${why}`)
    const { node, seenAt } = member
    this.#past.set(name, { incarnation: node.hello.incarnation, held: node.held(), seenAt })
    if (member.lost) clearTimeout(member.lost)
    this.#notice(`node ${name} is lost: ${why}`)
    if (engines === 'out of reach') {
      this.#missed.add(name)
      this.#absent.add(name, member.node.hello.incarnation, [
        ...member.node.engines(),
        ...member.node.ended(),
      ])
    } else this.#mesh.forgetEngines(member.node.ended())
    this.#mesh.detach(member.node, engines)
    member.node.lose()
  }
}
