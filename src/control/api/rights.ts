import { Code, ConnectError, type HandlerContext } from '@connectrpc/connect'
import { ASKER } from './asker.ts'
import { ADMIN, type ClientBook } from './client-book.ts'

/** What a call does. */
export type Purpose = 'look' | 'change'

/** A client that may make a call: its name, and from where it makes it. */
export interface AllowedClient {
  name: string
  from: string
}

/** Who calls, where it is a client that may; anybody else has no business here. */
export async function allowedClient(
  context: HandlerContext,
  clients: ClientBook,
  purpose: Purpose,
): Promise<AllowedClient> {
  const asker = context.values.get(ASKER)
  if (asker.role === 'node') throw new ConnectError('a node may not make this call', Code.PermissionDenied)
  if (asker.role !== 'client')
    throw new ConnectError(
      'this call needs a client certificate of the mesh: name the configuration of a client with --config or MAYFLY_CONFIG; where it has expired, have another made with `mayfly credential`',
      Code.Unauthenticated,
    )
  const { name, from, keyHash } = asker
  if (name === ADMIN) return { name, from }
  const client = await clients.get(name)
  if (client?.keyHash !== keyHash)
    throw new ConnectError(
      `the credential of client ${name} was taken back: have another made with \`mayfly credential ${name}\``,
      Code.PermissionDenied,
    )
  if (purpose === 'change' && client.readOnly)
    throw new ConnectError(
      `client ${name} may look and not change: use another credential (--config, MAYFLY_CONFIG)`,
      Code.PermissionDenied,
    )
  return { name, from }
}

/** Aborts when the call does, or when its client's credential is taken back; `end` is called when the call is over. */
export function whileAllowed(
  context: HandlerContext,
  clients: ClientBook,
  { name }: AllowedClient,
): { signal: AbortSignal; end(): void } {
  if (name === ADMIN) return { signal: context.signal, end: () => {} }
  const taken = new AbortController()
  const stop = clients.watch(name, () => {
    allowedClient(context, clients, 'look').catch(() => taken.abort())
  })
  return { signal: AbortSignal.any([context.signal, taken.signal]), end: stop }
}
