import { Code, ConnectError, type HandlerContext, type ServiceImpl } from '@connectrpc/connect'
import type { CertificateAuthority } from '../certificate-authority.ts'
import { standsBy } from '../leadership.ts'
import { helloProblem } from '../nodes/hello-problem.ts'
import { MessageQueue } from '../nodes/message-queue.ts'
import type { KnownNode, NodeBook } from '../nodes/node-book.ts'
import { nodeMessage } from '../nodes/node-message.ts'
import type { NodeStream } from '../nodes/node-outbox.ts'
import type { NodeRegistry } from '../nodes/node-registry.ts'
import type { FromNode, NodeService, ToNode } from '../proto/mayfly/v1/nodes_pb.js'
import { ASKER, nodePrincipal } from './asker.ts'
import { certifyRequest } from './control-identity.ts'
import { type JoinTokens, NO_TOKEN } from './join-tokens.ts'

export interface NodeServiceParts {
  nodes: NodeBook
  tokens: JoinTokens
  authority: CertificateAuthority
  trustDomain: string
  /** The nodes at work; null: this control plane stands by. */
  registry(): NodeRegistry | null
  /** Where the control plane that leads is reached. */
  leader(): string | null
}

/** Orders that may wait for a node that does not take them; then its stream is ended, and it begins anew. */
const MOST_WAITING = 100_000
/** A node is asked for a sign of life so often; without one for three times as long its stream is ended. In milliseconds. */
const PING_MS = 1_000
const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

/** The API for nodes. */
export function nodeService(parts: NodeServiceParts): ServiceImpl<typeof NodeService> {
  const { authority, tokens, trustDomain } = parts

  const certify = async (name: string, request: Uint8Array) => {
    const certified = await certifyRequest(authority, request, nodePrincipal(trustDomain, name))
    if (!certified.ok) throw new ConnectError(certified.message, Code.InvalidArgument)
    const { certificate: certificates, keyHash } = certified
    return { keyHash, response: { certificates, roots: authority.root } }
  }

  const leading = (): NodeRegistry => {
    const registry = parts.registry()
    if (registry) return registry
    throw new ConnectError(standsBy(parts.leader()), Code.Unavailable)
  }

  return {
    async join({ token, name, certificateRequest }) {
      if (!NAME.test(name))
        throw new ConnectError(
          `${JSON.stringify(name)} is no name of a node: write lower-case letters, digits and "-"`,
          Code.InvalidArgument,
        )
      const registry = leading()
      // Only for who has a token anything is certified, or told of other nodes.
      if (!(await tokens.isValid(token))) throw new ConnectError(NO_TOKEN, Code.PermissionDenied)
      // Who has one does not take the place of a node that is at work.
      if (registry.isAttached(name))
        throw new ConnectError(
          `node ${name} is part of the mesh and at work: choose another name (--name), or end that node first`,
          Code.AlreadyExists,
        )
      const { keyHash, response } = await certify(name, certificateRequest)
      const redeemed = await tokens.redeem(token)
      if (!redeemed.ok) throw new ConnectError(NO_TOKEN, Code.PermissionDenied)
      const noted = await parts.nodes.joined(name, redeemed.role, keyHash, Date.now())
      if (!noted.ok)
        throw new ConnectError('the node could not be noted: try again with a new token', Code.Unavailable)
      registry.joined(name)
      return response
    },
    async renew({ certificateRequest }, context) {
      leading()
      const { name } = await knownNode(parts.nodes, context)
      const { keyHash, response } = await certify(name, certificateRequest)
      if (!(await parts.nodes.renewed(name, context.values.get(ASKER).keyHash, keyHash)))
        throw new ConnectError('the new key could not be noted: try again', Code.Unavailable)
      return response
    },
    async *attach(messages, context) {
      leading()
      const node = await knownNode(parts.nodes, context)
      // Asked again: it may have ceased to lead meanwhile.
      const registry = leading()
      const leads = () => parts.registry() === registry
      yield* serveNode(node, registry, leads, messages, context.signal)
    },
  }
}

async function* serveNode(
  node: KnownNode,
  registry: NodeRegistry,
  leads: () => boolean,
  messages: AsyncIterable<FromNode>,
  signal: AbortSignal,
): AsyncGenerator<ToNode> {
  const { name } = node
  const queue = new MessageQueue<ToNode>(MOST_WAITING)
  let heardAt = performance.now()
  const stream: NodeStream = {
    send: (parcels) => queue.push(nodeMessage(parcels)),
    end: (why) => queue.end(new ConnectError(why, Code.PermissionDenied)),
  }
  let lookedAt = performance.now()
  const pinger = setInterval(() => {
    const now = performance.now()
    // Where this process itself was late, what a node said in the meantime is still to be read.
    const wasLate = now - lookedAt > 2 * PING_MS
    lookedAt = now
    if (!wasLate && now - heardAt > 3 * PING_MS)
      queue.end(new ConnectError('no sign of life', Code.DeadlineExceeded))
    else stream.send([{ order: { case: 'ping', value: { serial: 0 } }, contents: [] }])
  }, PING_MS)
  signal.addEventListener('abort', () => queue.end())
  void listen(node, registry, messages, stream, () => {
    heardAt = performance.now()
  }).then(
    () => queue.end(),
    (error) => queue.end(ConnectError.from(error)),
  )
  try {
    for await (const order of queue) {
      // One that slept through the end of its time gives no order any more.
      if (!leads()) throw new ConnectError('this control plane leads no more', Code.Unavailable)
      yield order
    }
  } finally {
    clearInterval(pinger)
    registry.closed(name, stream)
  }
}

async function listen(
  node: KnownNode,
  registry: NodeRegistry,
  messages: AsyncIterable<FromNode>,
  stream: NodeStream,
  heard: () => void,
): Promise<void> {
  const { name } = node
  let opened = false
  for await (const message of messages) {
    heard()
    if (opened) {
      const problem = registry.said(node, stream, message)
      if (problem !== null) throw new ConnectError(problem, Code.InvalidArgument)
      continue
    }
    if (message.what.case !== 'hello')
      throw new ConnectError(`the first message is ${message.what.case}, not hello`, Code.InvalidArgument)
    const problem = helloProblem(node, message.what.value)
    if (problem !== null) throw new ConnectError(problem, Code.InvalidArgument)
    opened = true
    registry.opened(name, message.what.value, stream)
  }
}

/** Who calls, where it is a node of the mesh by the key that it joined with; what was deleted or replaced is none any more. */
async function knownNode(nodes: NodeBook, context: HandlerContext): Promise<KnownNode> {
  const { role, name, keyHash } = context.values.get(ASKER)
  if (role !== 'node')
    throw new ConnectError('this call needs a node certificate of the mesh', Code.Unauthenticated)
  const node = await nodes.get(name)
  if (!node?.keyHashes?.includes(keyHash))
    throw new ConnectError(
      `node ${name} is not one of the mesh: join with a new token`,
      Code.PermissionDenied,
    )
  return node
}
