import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Child, Children } from './children.ts'

/** An upstream that holds its replies, and the clients that wait for them, in a process of their own. */
export type HeldRequests = {
  readonly child: Child
  /** Where the upstream listens. */
  readonly port: number
  /** Sends that many requests, each on a connection of its own; resolves when all of them have reached the upstream. */
  hold(gateway: number, head: string, requests: number): Promise<void>
  /** Answers them; fails unless every client has got its reply. */
  release(): Promise<void>
}

type Message =
  | { readonly type: 'hold'; readonly gateway: number; readonly head: string; readonly requests: number }
  | { readonly type: 'release' }

type Answer = { readonly port?: number; readonly problem?: string }

const reachMilliseconds = 30_000

export async function startHeldRequests(children: Children): Promise<HeldRequests> {
  const child = children.start('held-requests', process.execPath, [fileURLToPath(import.meta.url)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const { port } = await nextAnswer(child)
  const ask = async (message: Message) => {
    child.process.send(message)
    const { problem } = await nextAnswer(child)
    if (problem !== undefined) throw new Error(problem)
  }
  return {
    child,
    port: port!,
    hold: (gateway, head, requests) => ask({ type: 'hold', gateway, head, requests }),
    release: () => ask({ type: 'release' }),
  }
}

function nextAnswer({ process }: Child): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const ended = () => reject(new Error('the process of held requests ended'))
    process.once('exit', ended)
    process.once('message', (answer) => {
      process.off('exit', ended)
      resolve(answer as Answer)
    })
  })
}

async function serve(): Promise<void> {
  const held = new Set<ServerResponse>()
  let clients: { socket: Socket; received: string }[] = []
  let reached = () => {}
  const server = createServer((_, response) => {
    held.add(response)
    response.on('close', () => held.delete(response))
    reached()
  })
  server.keepAliveTimeout = 0
  server.requestTimeout = 0

  const hold = async ({ gateway, head, requests }: Message & { type: 'hold' }): Promise<Answer> => {
    const arrived = new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), reachMilliseconds)
      reached = () => {
        if (held.size < requests) return
        clearTimeout(timer)
        resolve(true)
      }
    })
    clients = Array.from({ length: requests }, () => {
      const socket = connect(gateway, '127.0.0.1', () => socket.write(head, 'latin1'))
      const client = { socket, received: '' }
      socket.on('data', (chunk) => {
        client.received += chunk.toString('latin1')
      })
      socket.on('error', (error) => {
        client.received += error.message
      })
      return client
    })
    if (await arrived) return {}
    const first = clients.find(({ received }) => received !== '')?.received.slice(0, 300)
    return {
      problem: `${held.size} of ${requests} requests reached the upstream; a client got: ${first ?? 'nothing'}`,
    }
  }

  const release = async (): Promise<Answer> => {
    const replies = clients.map(
      ({ socket }) => new Promise((resolve) => socket.once('data', resolve).once('close', resolve)),
    )
    for (const response of held) response.end('released')
    await Promise.all(replies)
    const failed = clients.filter(({ received }) => !received.startsWith('HTTP/1.1 200 '))
    for (const { socket } of clients) socket.destroy()
    if (failed.length === 0) return {}
    return {
      problem: `${failed.length} of ${clients.length} held requests failed: ${failed[0]!.received.slice(0, 300)}`,
    }
  }

  process.on('disconnect', () => process.exit())
  process.on('message', async (message: Message) => {
    process.send?.(message.type === 'hold' ? await hold(message) : await release())
  })
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, resolve))
  process.send?.({ port: (server.address() as AddressInfo).port })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await serve()
