import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from '@connectrpc/connect'
import type { CertificateAuthority } from '../certificate-authority.ts'
import { MessageQueue } from '../nodes/message-queue.ts'
import type { NodeRegistry } from '../nodes/node-registry.ts'
import type { NodeStream, Order } from '../nodes/remote-node.ts'
import { type FromNode, type NodeService, type ToNode, ToNodeSchema } from '../proto/mayfly/v1/nodes_pb.js'
import type { Store } from '../store/store.ts'
import { ASKER, nodePrincipal } from './asker.ts'
import { certifyRequest } from './control-identity.ts'
import type { JoinTokens } from './join-tokens.ts'

export interface NodeServiceParts {
  store: Store
  tokens: JoinTokens
  authority: CertificateAuthority
  trustDomain: string
  registry: NodeRegistry
  isLeader(): boolean
}

/** Orders that may wait for a node that does not take them; then its stream is ended, and it begins anew. */
const MOST_WAITING = 100_000
/** A node is asked for a sign of life so often; without one for three times as long its stream is ended. In milliseconds. */
const PING_MS = 1_000
const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

/** The API for nodes. */
export function nodeService(parts: NodeServiceParts): ServiceImpl<typeof NodeService> {
  const { authority, registry, tokens, trustDomain } = parts

  const certify = async (name: string, request: Uint8Array) => {
    const certified = await certifyRequest(authority, request, nodePrincipal(trustDomain, name))
    if (!certified.ok) throw new ConnectError(certified.message, Code.InvalidArgument)
    return { certificates: certified.certificate, roots: authority.root }
  }

  return {
    async join({ token, name, certificateRequest }) {
      if (!NAME.test(name))
        throw new ConnectError(
          `${JSON.stringify(name)} is no name of a node: write lower-case letters, digits and "-"`,
          Code.InvalidArgument,
        )
      const redeemed = await tokens.redeem(token)
      if (!redeemed.ok) throw new ConnectError(redeemed.message, Code.PermissionDenied)
      await remember(parts.store, name, redeemed.role)
      return certify(name, certificateRequest)
    },
    async renew({ certificateRequest }, context) {
      const name = askingNode(context)
      await known(parts.store, name)
      return certify(name, certificateRequest)
    },
    async *attach(messages, context) {
      const name = askingNode(context)
      await known(parts.store, name)
      if (!parts.isLeader())
        throw new ConnectError('this control plane stands by: ask the one that leads', Code.Unavailable)
      yield* serveNode(name, registry, messages, context.signal)
    },
  }
}

async function* serveNode(
  name: string,
  registry: NodeRegistry,
  messages: AsyncIterable<FromNode>,
  signal: AbortSignal,
): AsyncGenerator<ToNode> {
  const queue = new MessageQueue<ToNode>(MOST_WAITING)
  let heardAt = performance.now()
  const stream: NodeStream = {
    send: (order: Order, contents) =>
      queue.push(create(ToNodeSchema, { what: order, contents } as MessageInitShape<typeof ToNodeSchema>)),
  }
  const pinger = setInterval(() => {
    if (performance.now() - heardAt > 3 * PING_MS)
      queue.end(new ConnectError('no sign of life', Code.DeadlineExceeded))
    else stream.send({ case: 'ping', value: { serial: 0 } }, [])
  }, PING_MS)
  signal.addEventListener('abort', () => queue.end())
  void listen(name, registry, messages, stream, () => {
    heardAt = performance.now()
  }).then(
    () => queue.end(),
    (error) => queue.end(ConnectError.from(error)),
  )
  try {
    yield* queue
  } finally {
    clearInterval(pinger)
    registry.closed(name, stream)
  }
}

async function listen(
  name: string,
  registry: NodeRegistry,
  messages: AsyncIterable<FromNode>,
  stream: NodeStream,
  heard: () => void,
): Promise<void> {
  let opened = false
  for await (const message of messages) {
    heard()
    if (opened) {
      registry.said(name, stream, message)
      continue
    }
    if (message.what.case !== 'hello')
      throw new ConnectError(`the first message is ${message.what.case}, not hello`, Code.InvalidArgument)
    opened = true
    registry.opened(name, message.what.value, stream)
  }
}

function askingNode(context: HandlerContext): string {
  const asker = context.values.get(ASKER)
  if (asker.role === 'node') return asker.name
  throw new ConnectError('this call needs a node certificate of the mesh', Code.Unauthenticated)
}

export const NODES = 'nodes/'

async function remember(store: Store, name: string, role: string): Promise<void> {
  const commit = await store.commit([{ kind: 'put', key: NODES + name, value: JSON.stringify({ role }) }])
  if (!commit.ok) throw new ConnectError('the node could not be noted: try again', Code.Unavailable)
}

/** A node that was deleted has no business here, whatever its certificate says. */
async function known(store: Store, name: string): Promise<void> {
  if ((await store.get(NODES + name)) === null)
    throw new ConnectError(
      `node ${name} is not one of the mesh: join with a new token`,
      Code.PermissionDenied,
    )
}
