import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { createContextKey } from '@connectrpc/connect'

/** Who makes a call, as the connection's certificate proves it. */
export type Asker =
  | { role: 'client'; name: string; from: string }
  | { role: 'node'; name: string; from: string }
  | { role: 'unknown'; name: ''; from: string }

export const ASKER = createContextKey<Asker>({ role: 'unknown', name: '', from: '' })

/** The principals that the control plane gives: "domain/mayfly/client/NAME" and "domain/mayfly/node/NAME". */
export function clientPrincipal(trustDomain: string, name: string): string {
  return `${trustDomain}/mayfly/client/${name}`
}

export function nodePrincipal(trustDomain: string, name: string): string {
  return `${trustDomain}/mayfly/node/${name}`
}

export function controlPlanePrincipal(trustDomain: string): string {
  return `${trustDomain}/mayfly/control-plane/-`
}

/** Reads who asks from the connection of a request; its certificate was verified by the TLS layer, or there is none. */
export function askerOf(request: IncomingMessage | Http2ServerRequest, trustDomain: string): Asker {
  const socket = ('stream' in request && request.stream?.session?.socket) || request.socket
  const from = socket?.remoteAddress ?? ''
  const nobody: Asker = { role: 'unknown', name: '', from }
  const tls = socket as TLSSocket
  if (tls.authorized !== true) return nobody
  const principal = principalOf(tls.getPeerCertificate().subjectaltname ?? '')
  const parts = principal?.split('/') ?? []
  if (parts.length !== 4 || parts[0] !== trustDomain || parts[1] !== 'mayfly') return nobody
  const [, , role, name] = parts
  if (role === 'client' || role === 'node') return { role, name: name!, from }
  return nobody
}

/** The only URI of a certificate's alternative names, if it is a SPIFFE id. */
export function principalOf(subjectAltName: string): string | null {
  const uris = subjectAltName.split(', ').filter((name) => name.startsWith('URI:'))
  const prefix = 'URI:spiffe://'
  return uris.length === 1 && uris[0]!.startsWith(prefix) ? uris[0]!.slice(prefix.length) : null
}
