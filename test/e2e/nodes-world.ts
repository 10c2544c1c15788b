// Meshes of one and of several nodes with the same functions, whose instances are servers in the test's own process.

import type { IncomingHttpHeaders } from 'node:http'
import { startTestMesh, type TestMesh } from '../start-mesh.ts'
import { askMesh, functionManifest, meshConfig, startServer, type TestServer } from './cluster.ts'

export interface Seen {
  method: string
  url: string
  headers: IncomingHttpHeaders
  body: number
}

export interface NodeRow {
  node: string
  roles: string[]
  address: string | null
  engines: string[]
}

/** Answers with what it was sent: the head as JSON, and how many bytes of a body. */
export function startSeeing(): Promise<TestServer> {
  return startServer(async (incoming, outgoing) => {
    let body = 0
    for await (const part of incoming) body += part.length
    const seen: Seen = { method: incoming.method!, url: incoming.url!, headers: incoming.headers, body }
    outgoing.setHeader('content-type', 'application/json')
    outgoing.setHeader('x-mayfly-forged', 'yes')
    outgoing.end(JSON.stringify(seen))
  })
}

/** A mesh with `fn` at the server, and `caller` and `other` that call it. */
export function startNodes(
  server: TestServer,
  nodes: number,
  policies = '',
  args: string[] = [],
  config: object = {},
): Promise<TestMesh> {
  const image = `endpoint:${server.address}`
  const functions = ['fn', 'caller', 'other'].map((name) => functionManifest({ image, name }))
  const files = {
    'mesh.yaml': meshConfig({ defaultAuthorization: 'allow' }).replace('spec: {', `spec: {${inner(config)}`),
    'functions.yaml': functions.join('\n---\n'),
    ...(policies !== '' && { 'policies.yaml': policies }),
  }
  return startTestMesh(files, ['--nodes', String(nodes), ...args])
}

/** The address at which the other nodes' engines reach the only node with functions. */
export async function workerAddress(mesh: TestMesh): Promise<{ host: string; port: number }> {
  const nodes = await askMesh<NodeRow[]>(mesh, 'nodes')
  const address = nodes.find((one) => one.address !== null)!.address!
  const [host, port] = address.split(':') as [string, string]
  return { host, port: Number(port) }
}

function inner(config: object): string {
  const text = JSON.stringify(config).slice(1, -1)
  return text === '' ? '' : `${text},`
}
