// Meshes of several engines, HTTP servers in the test's own process that serve as their instances, and clients.

import { once } from 'node:events'
import { Agent, createServer, type IncomingHttpHeaders, type RequestListener, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestMesh } from '../start-mesh.ts'

/** A server that stands for an instance somebody else runs. */
export interface TestServer {
  address: string
  /** Connections made to it so far. */
  connections: number
  requests: number
  close(): Promise<void>
}

export async function startServer(answer: RequestListener, port = 0): Promise<TestServer> {
  const server = createServer((incoming, outgoing) => {
    one.requests++
    answer(incoming, outgoing)
  })
  const one: TestServer = {
    address: '',
    connections: 0,
    requests: 0,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
  server.on('connection', () => one.connections++)
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  one.address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return one
}

/** A port on which nobody listens. */
export async function freePort(): Promise<number> {
  const server = await startServer(() => {})
  await server.close()
  return Number(server.address.split(':')[1])
}

export interface Settings {
  engines?: number
  defaultAuthorization?: 'allow' | 'deny'
  limits?: Record<string, number>
}

export function meshConfig({ engines = 2, defaultAuthorization = 'allow', limits = {} }: Settings): string {
  const spec = JSON.stringify({ engines, defaultAuthorization, limits })
  return `apiVersion: mayfly.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec: ${spec}
`
}

export interface FunctionManifest {
  image: string
  name?: string
  namespace?: string
  concurrency?: number
  timeoutSeconds?: number
  annotations?: Record<string, string>
}

/** A Service manifest; YAML takes JSON. */
export function functionManifest(manifest: FunctionManifest): string {
  const { image, name = 'fn', namespace = 'test', concurrency, timeoutSeconds, annotations = {} } = manifest
  return JSON.stringify({
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: {
      template: {
        metadata: { annotations },
        spec: { containerConcurrency: concurrency, timeoutSeconds, containers: [{ image }] },
      },
    },
  })
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

/** A client that keeps its connections; `host` is the function's name before ".test.localhost". */
export class Client {
  readonly #agent = new Agent({ keepAlive: true })
  readonly #port: number

  constructor({ port }: { port: number }) {
    this.#port = port
  }

  get(path: string, name = 'fn'): Promise<Answer> {
    return this.send({ path, headers: { host: `${name}.test.localhost` } })
  }

  async send(options: {
    path: string
    method?: string
    headers?: Record<string, string>
    port?: number
    body?: string
  }): Promise<Answer> {
    const { body, ...rest } = options
    const sent = request({ host: '127.0.0.1', port: this.#port, agent: this.#agent, ...rest })
    sent.end(body)
    const [response] = await once(sent, 'response')
    let text = ''
    for await (const part of response.setEncoding('utf8')) text += part
    return { status: response.statusCode, headers: response.headers, body: text }
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** What the mesh answers to its own commands. */
export async function askMesh<T>(mesh: TestMesh, path: string): Promise<T> {
  const sent = request({ socketPath: mesh.adminSocket, path: `/v1/${path}` })
  sent.end()
  const [response] = await once(sent, 'response')
  let text = ''
  for await (const part of response) text += part
  return JSON.parse(text)
}

export interface EngineRow {
  engine: string
  pid: number
  counters: Record<string, number> | null
}

export interface InstanceRow {
  id: string
  function: string
  revision: string
  state: string
  pid: number
  egress: string
}

/** The sum of a counter over all engines. */
export async function counted(mesh: TestMesh, name: string): Promise<number> {
  const rows = await askMesh<EngineRow[]>(mesh, 'engines')
  return rows.reduce((sum, { counters }) => sum + (counters?.[name] ?? 0), 0)
}

/** Resolves with the first answer that satisfies `wanted`; asks again and again, and fails after ten seconds. */
export async function until<T>(ask: () => Promise<T>, wanted: (value: T) => boolean): Promise<T> {
  const deadline = performance.now() + 10_000
  for (;;) {
    const value = await ask()
    if (wanted(value)) return value
    if (performance.now() > deadline) throw new Error(`still ${JSON.stringify(value)} after ten seconds`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Resolves once no engine has a request under way, and fails where one stays. */
export async function settled(mesh: TestMesh): Promise<void> {
  await until(
    () => counted(mesh, 'requestsInFlight'),
    (inFlight) => inFlight === 0,
  )
}
