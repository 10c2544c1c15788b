import { X509Certificate } from 'node:crypto'
import type { Client } from '@connectrpc/connect'
import type { MeshService } from '../control/proto/mayfly/v1/mesh_pb.js'
import { type ClusterCredential, configFile, readCredential } from './cluster-credential.ts'
import { fail } from './output.ts'

export type MeshClient = Client<typeof MeshService>

/** The option of every command that speaks with a control plane. */
export const CONFIG_OPTION = [
  '--config <file>',
  'how to reach the control plane (default: $MAYFLY_CONFIG, else ~/.config/mayfly/config.json)',
] as const

/** A control plane that does not answer in this time is passed over, where there are others. In milliseconds. */
const ANSWER_MS = 3_000

/**
 * A client of the control plane that the configuration names; ends the command where there is none. Where it names several, of the
 * one that leads. `status` is the command's where it ends. The libraries are loaded here, since they take longer than most commands.
 */
export async function meshClient(file: string | undefined, status = 1): Promise<MeshClient> {
  const path = file ?? configFile()
  const read = readCredential(path)
  if (!read.ok)
    fail(
      `${read.message}: name the configuration of a client with --config or MAYFLY_CONFIG; the control plane writes one (admin.json in its --data), \`mayfly credential\` makes others`,
      status,
    )
  const expired = expiry(read.credential)
  if (expired !== null)
    fail(
      `${path}: the credential has expired ${expired}: have another made with \`mayfly credential\``,
      status,
    )
  const [{ createClient }, { createConnectTransport }, { MeshService }, { checkControlPlane }] =
    await Promise.all([
      import('@connectrpc/connect'),
      import('@connectrpc/connect-node'),
      import('../control/proto/mayfly/v1/mesh_pb.js'),
      import('../control/api/asker.ts'),
    ])
  const { servers, roots, certificate, key } = read.credential
  const clients = servers.map((baseUrl) =>
    createClient(
      MeshService,
      createConnectTransport({
        baseUrl,
        httpVersion: '2',
        nodeOptions: {
          ca: roots,
          cert: certificate,
          key,
          minVersion: 'TLSv1.3',
          checkServerIdentity: checkControlPlane,
        },
      }),
    ),
  )
  return clients.length === 1 ? clients[0]! : leading(clients)
}

/** The first that leads; else the first that answers, which says what is wrong. */
async function leading(clients: readonly MeshClient[]): Promise<MeshClient> {
  let answering: MeshClient | null = null
  for (const client of clients) {
    try {
      const { leader } = await client.version({}, { timeoutMs: ANSWER_MS })
      if (leader) return client
      answering ??= client
    } catch {
      // It is out of reach; another one may not be.
    }
  }
  return answering ?? clients[0]!
}

/** When the credential has expired, or null where it has not. */
function expiry({ certificate }: ClusterCredential): string | null {
  const until = Date.parse(new X509Certificate(certificate).validTo)
  return until > Date.now() ? null : new Date(until).toISOString()
}

/** Makes a call; what goes wrong with it ends the command, in the control plane's words. */
export async function called<T>(call: Promise<T>, status = 1): Promise<T> {
  try {
    return await call
  } catch (error) {
    return fail(await problemOf(error), status)
  }
}

/** What went wrong with a call, for people. */
export async function problemOf(error: unknown): Promise<string> {
  const { Code, ConnectError } = await import('@connectrpc/connect')
  const { code, rawMessage } = ConnectError.from(error)
  const isAway = code === Code.Unavailable || code === Code.Internal || code === Code.DeadlineExceeded
  return isAway ? `the control plane does not answer: ${rawMessage}` : rawMessage
}
