import { createHash, type X509Certificate } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import { createContextKey } from '@connectrpc/connect'

/** Who makes a call, as the connection's certificate proves it. `keyHash` is that of its key (keyHashOf). */
export type Asker =
  | { role: 'client'; name: string; keyHash: string; from: string }
  | { role: 'node'; name: string; keyHash: string; from: string }
  | { role: 'unknown'; name: ''; keyHash: ''; from: string }

export const ASKER = createContextKey<Asker>({ role: 'unknown', name: '', keyHash: '', from: '' })

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

/** SHA-256 of a public key's SPKI, hexadecimal. */
export function keyHashOf(spki: Uint8Array): string {
  return createHash('sha256').update(spki).digest('hex')
}

/** Reads who asks from the connection of a request; its certificate was verified by the TLS layer, or there is none. */
export function askerOf(request: IncomingMessage | Http2ServerRequest, trustDomain: string): Asker {
  const socket = (('stream' in request && request.stream?.session?.socket) || request.socket) as TLSSocket
  const from = socket?.remoteAddress ?? ''
  const nobody: Asker = { role: 'unknown', name: '', keyHash: '', from }
  if (socket.authorized !== true) return nobody
  const peer = peerOf(socket)
  // A connection may outlive the certificate that began it.
  if (peer === null || peer.validTo < Date.now()) return nobody
  const parts = peer.principal?.split('/') ?? []
  if (parts.length !== 4 || parts[0] !== trustDomain || parts[1] !== 'mayfly') return nobody
  const [, , role, name] = parts
  if (role === 'client' || role === 'node') return { role, name: name!, keyHash: peer.keyHash, from }
  return nobody
}

/** For `checkServerIdentity`: a server is a control plane by its principal, whatever it is called; nodes have certificates of the same root. */
export function checkControlPlane(host: string, certificate: PeerCertificate): Error | undefined {
  const principal = principalOf(certificate.subjectaltname ?? '')
  const parts = principal?.split('/') ?? []
  if (parts.length === 4 && parts.slice(1).join('/') === 'mayfly/control-plane/-') return undefined
  return new Error(`${host} is no control plane of the mesh: its certificate is for ${principal ?? 'nobody'}`)
}

/** The only URI of a certificate's alternative names, if it is a SPIFFE id. */
export function principalOf(subjectAltName: string): string | null {
  const uris = subjectAltName.split(', ').filter((name) => name.startsWith('URI:'))
  const prefix = 'URI:spiffe://'
  return uris.length === 1 && uris[0]!.startsWith(prefix) ? uris[0]!.slice(prefix.length) : null
}

interface Peer {
  principal: string | null
  keyHash: string
  /** Milliseconds since the epoch. */
  validTo: number
}

/** Connections carry many calls: their certificate is read once. */
const peers = new WeakMap<TLSSocket, Peer>()

function peerOf(socket: TLSSocket): Peer | null {
  const known = peers.get(socket)
  if (known) return known
  const certificate: X509Certificate | undefined = socket.getPeerX509Certificate()
  if (!certificate) return null
  const peer = {
    principal: principalOf(certificate.subjectAltName ?? ''),
    keyHash: keyHashOf(certificate.publicKey.export({ type: 'spki', format: 'der' })),
    validTo: Date.parse(certificate.validTo),
  }
  peers.set(socket, peer)
  return peer
}
