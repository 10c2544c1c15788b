// A mesh for tests of HTTP semantics: one engine, and functions whose instances are sockets that the test scripts.

import { once } from 'node:events'
import { request } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { RawClient } from '../raw-client.ts'
import { endpointFunction, startTestMesh, type TestMesh } from '../start-mesh.ts'

/** An instance that answers as the test says. It counts its connections and keeps each one's bytes as latin1. */
export interface Instance {
  address: string
  connections: InstanceConnection[]
  /** Resolves with the next connection that is made, or the first that nobody has asked for yet. */
  accepted(): Promise<InstanceConnection>
  close(): void
}

export interface InstanceConnection {
  socket: Socket
  received: string
  /** Resolves with all that was received once it matches. */
  receive(pattern: RegExp): Promise<string>
  closed: Promise<void>
}

/** `answer` is called with each connection's bytes so far, and gives what to send back, or null where it waits for more. */
export async function startInstance(answer?: (received: string) => string | null): Promise<Instance> {
  const connections: InstanceConnection[] = []
  let taken = 0
  const wake: (() => void)[] = []
  const server: Server = createServer({ noDelay: true }, (socket) => {
    const changed: (() => void)[] = []
    const connection: InstanceConnection = {
      socket,
      received: '',
      async receive(pattern) {
        while (!pattern.test(connection.received)) {
          if (socket.destroyed) throw new Error(`closed with ${JSON.stringify(connection.received)}`)
          await new Promise<void>((resolve) => changed.push(resolve))
        }
        return connection.received
      },
      closed: new Promise((resolve) => socket.on('close', () => resolve())),
    }
    const notify = () => {
      for (const resolve of changed.splice(0)) resolve()
    }
    socket.on('error', () => socket.destroy())
    socket.on('close', notify)
    socket.on('data', (bytes) => {
      connection.received += bytes.toString('latin1')
      const out = answer?.(connection.received) ?? null
      if (out !== null) {
        connection.received = ''
        socket.write(out, 'latin1')
      }
      notify()
    })
    connections.push(connection)
    for (const resolve of wake.splice(0)) resolve()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections,
    async accepted() {
      while (connections.length <= taken) await new Promise<void>((resolve) => wake.push(resolve))
      return connections[taken++]!
    },
    close() {
      server.close()
      for (const { socket } of connections) socket.destroy()
    },
  }
}

/** Answers each request without a body by its path. */
export function echoPath(received: string): string | null {
  if (!received.endsWith('\r\n\r\n')) return null
  const path = received.split(' ')[1]!
  return `HTTP/1.1 200 OK\r\ncontent-length: ${path.length}\r\n\r\n${path}`
}

export interface HttpMesh extends TestMesh {
  client(): Promise<RawClient>
  /** Process id of the one engine. */
  enginePid(): Promise<number>
  /** The one engine's counters; `sidecars` has those of the sandboxes. */
  counters(): Promise<Record<string, number> & { sidecars: { deniedBy: Record<string, number> } }>
  /** Resolves with the counters once they are as `wanted` says. */
  counted(wanted: Record<string, number>): Promise<void>
}

/** `functions`: name -> address of its instance. All may be called by all. */
export async function startHttpMesh(
  functions: Record<string, string>,
  { limits = {}, more = '' }: { limits?: Record<string, number>; more?: string } = {},
): Promise<HttpMesh> {
  const config = `apiVersion: mayfly.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec:
  engines: 1
  defaultAuthorization: allow
  accessLogFile: /dev/stdout
  accessLogEncoding: JSON
  limits: ${JSON.stringify(limits)}
`
  const services = Object.entries(functions).map(([name, address]) => endpointFunction(name, address))
  const mesh = await startTestMesh({
    'mesh.yaml': [config, ...services, more].filter(Boolean).join('\n---\n'),
  })
  const counters = async () => (await readEngine(mesh)).counters
  return {
    ...mesh,
    client: () => RawClient.connect(mesh.port),
    enginePid: async () => (await readEngine(mesh)).pid,
    counters,
    async counted(wanted) {
      for (;;) {
        const now = await counters()
        if (Object.entries(wanted).every(([name, value]) => now[name] === value)) return
      }
    },
  }
}

async function readEngine(mesh: TestMesh) {
  const sent = request({ socketPath: mesh.adminSocket, path: '/v1/engines' })
  sent.end()
  const [response] = await once(sent, 'response')
  let text = ''
  for await (const part of response) text += part
  return JSON.parse(text)[0]
}
