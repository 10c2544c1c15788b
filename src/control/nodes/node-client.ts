import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { checkControlPlane } from '../api/asker.ts'
import { type FromNode, FromNodeSchema, NodeService } from '../proto/mayfly/v1/nodes_pb.js'
import { MessageQueue } from './message-queue.ts'
import type { NodeAgent, Report } from './node-agent.ts'

export interface NodeCredential {
  certificate: string
  key: string
  roots: string
}

export interface NodeClientOptions {
  /** "https://host:port" of control planes; they are tried one after the other. */
  servers: readonly string[]
  credential(): NodeCredential
  agent: NodeAgent
  notice(text: string): void
}

/** Reports that may wait for a control plane that does not take them; then the stream is begun anew. */
const MOST_WAITING = 100_000
/** Between two tries, growing from the first to the second, in milliseconds. */
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 1_000
/** Without a word from the control plane for this long the stream is begun anew. */
const SILENCE_MS = 4_000

/** Keeps a node attached to its control plane until `signal` aborts. */
export async function stayAttached(options: NodeClientOptions, signal: AbortSignal): Promise<void> {
  let pause = FIRST_PAUSE_MS
  const told = new Map<string, string>()
  for (let i = 0; !signal.aborted; i++) {
    const server = options.servers[i % options.servers.length]!
    const begun = performance.now()
    const problem = await attachOnce(options, server, signal)
    if (signal.aborted) return
    if (performance.now() - begun > SILENCE_MS) {
      pause = FIRST_PAUSE_MS
      told.clear()
    }
    if (problem !== told.get(server)) options.notice(`${server}: ${problem}; trying again`)
    told.set(server, problem)
    await wait(pause, signal)
    pause = Math.min(LONGEST_PAUSE_MS, pause * 2)
  }
}

/** One stream from its beginning to its end; gives why it ended. */
async function attachOnce(
  { credential, agent }: NodeClientOptions,
  server: string,
  signal: AbortSignal,
): Promise<string> {
  const { certificate, key, roots } = credential()
  const transport = createConnectTransport({
    baseUrl: server,
    httpVersion: '2',
    nodeOptions: {
      cert: certificate,
      key,
      ca: roots,
      minVersion: 'TLSv1.3',
      checkServerIdentity: checkControlPlane,
    },
  })
  const reports = new MessageQueue<FromNode>(MOST_WAITING)
  const ended = new AbortController()
  const stop = () => ended.abort()
  signal.addEventListener('abort', stop)
  let heardAt = performance.now()
  const watch = setInterval(() => {
    if (performance.now() - heardAt > SILENCE_MS) stop()
  }, 500)
  try {
    const orders = createClient(NodeService, transport).attach(reports, { signal: ended.signal })
    agent.attach((report: Report) => {
      if (!reports.push(create(FromNodeSchema, { what: report } as MessageInitShape<typeof FromNodeSchema>)))
        stop()
    })
    for await (const order of orders) {
      heardAt = performance.now()
      agent.receive(order)
    }
    return 'the control plane has ended the stream'
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  } finally {
    clearInterval(watch)
    signal.removeEventListener('abort', stop)
    agent.detach()
    reports.end()
    stop()
  }
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
