import type { Client } from '@connectrpc/connect'
import type { MeshService } from '../control/proto/mayfly/v1/mesh_pb.js'
import { configFile, readCredential } from './cluster-credential.ts'
import { fail } from './output.ts'

export type MeshClient = Client<typeof MeshService>

/** The option of every command that speaks with a control plane. */
export const CONFIG_OPTION = [
  '--config <file>',
  'how to reach the control plane (default: $MAYFLY_CONFIG, else ~/.config/mayfly/config.json)',
] as const

/**
 * A client of the control plane that the configuration names; ends the command where there is none. The libraries are loaded
 * here, since they take longer than most commands.
 */
export async function meshClient(file: string | undefined): Promise<MeshClient> {
  const path = file ?? configFile()
  const read = readCredential(path)
  if (!read.ok)
    fail(
      `${read.message}: name the configuration that the control plane has written with --config or MAYFLY_CONFIG`,
    )
  const [{ createClient }, { createConnectTransport }, { MeshService }] = await Promise.all([
    import('@connectrpc/connect'),
    import('@connectrpc/connect-node'),
    import('../control/proto/mayfly/v1/mesh_pb.js'),
  ])
  const { servers, roots, certificate, key } = read.credential
  const transport = createConnectTransport({
    baseUrl: servers[0]!,
    httpVersion: '2',
    nodeOptions: {
      ca: roots,
      cert: certificate,
      key,
      minVersion: 'TLSv1.3',
      checkServerIdentity: () => undefined,
    },
  })
  return createClient(MeshService, transport)
}

/** Makes a call; what goes wrong with it ends the command, in the control plane's words. */
export async function called<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    const { Code, ConnectError } = await import('@connectrpc/connect')
    const { code, rawMessage } = ConnectError.from(error)
    if (code === Code.Unavailable || code === Code.Internal)
      fail(`the control plane does not answer: ${rawMessage}`)
    fail(rawMessage)
  }
}
