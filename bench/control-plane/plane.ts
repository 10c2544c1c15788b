import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Client, createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { readCredential } from '../../src/cli/cluster-credential.ts'
import { MeshService } from '../../src/control/proto/mayfly/v1/mesh_pb.js'
import { type Child, type Children, hasEnded, pause, tail } from '../children.ts'

/** A control plane in a process of its own, with a data folder of its own, and an administrator's client of it. */
export type Plane = {
  readonly child: Child
  /** Its folder. */
  readonly data: string
  readonly server: string
  readonly client: Client<typeof MeshService>
  token(role: 'node' | 'gateway'): Promise<string>
  /** Resolves when the manifests are in force and on disk. */
  apply(manifests: readonly object[]): Promise<void>
}

const root = join(import.meta.dirname, '..', '..')
const READY_SECONDS = 60
/** Manifests of one request. */
const BATCH = 500

let started = 0

export async function startPlane(
  children: Children,
  environment: Readonly<Record<string, string>> = {},
): Promise<Plane> {
  const data = join(children.folder, `plane-${started++}`)
  const readyFile = `${data}.json`
  const main = join(root, 'src', 'cli', 'main.ts')
  const args = ['--no-warnings', main, 'control-plane', '--data', data]
  const child = children.start(
    'control-plane',
    process.execPath,
    [...args, '--listen', '127.0.0.1:0', '--ready-file', readyFile],
    { env: { ...process.env, ...environment } },
  )
  const { server, config } = await readyOf(child, readyFile)
  const read = readCredential(config)
  if (!read.ok) throw new Error(read.message)
  const { roots, certificate, key } = read.credential
  const transport = createConnectTransport({
    baseUrl: server,
    httpVersion: '2',
    nodeOptions: { ca: roots, cert: certificate, key, checkServerIdentity: () => undefined },
  })
  const client = createClient(MeshService, transport)
  return {
    child,
    data,
    server,
    client,
    token: async (role) => (await client.createJoinToken({ role })).token,
    async apply(manifests) {
      for (let i = 0; i < manifests.length; i += BATCH) {
        const documents = manifests.slice(i, i + BATCH).map((manifest) => JSON.stringify(manifest))
        await client.apply({ files: [{ path: 'bench.yaml', text: documents.join('\n---\n') }] })
      }
    },
  }
}

async function readyOf(child: Child, file: string): Promise<{ server: string; config: string }> {
  const deadline = performance.now() + READY_SECONDS * 1000
  while (!existsSync(file)) {
    if (hasEnded(child)) throw new Error(`the control plane ended at once:\n${tail(child)}`)
    if (performance.now() > deadline)
      throw new Error(`the control plane is not ready after ${READY_SECONDS} s:\n${tail(child)}`)
    await pause(5)
  }
  return JSON.parse(readFileSync(file, 'utf8')) as { server: string; config: string }
}
