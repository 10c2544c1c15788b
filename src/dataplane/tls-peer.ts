// Who is at the other end of a TLS connection: the SPIFFE ID of a certificate that OpenSSL has already verified to come
// from a trusted epoch's intermediate (SPIFFE X.509-SVID, sections 2 to 5). All else that must hold is checked here.

import type { X509Certificate } from 'node:crypto'

/** A workload that has proved its identity. */
export interface TlsPeer {
  readonly principal: string
  readonly epoch: number
  /** Milliseconds since the epoch of time. */
  readonly notAfter: number
  /** SHA-256 of the certificate, 64 lower-case hexadecimal digits. */
  readonly hash: string
}

/** Whose certificates count. */
export interface Trust {
  /** The mesh's own trust domain and its aliases. */
  readonly domains: ReadonlySet<string>
  readonly epochs: ReadonlySet<number>
}

export type PeerReading = { ok: true; peer: TlsPeer } | { ok: false; problem: PeerProblem }

/** Stable codes, for counters and messages. */
export type PeerProblem =
  | 'no-certificate'
  | 'not-one-spiffe-id'
  | 'trust-domain'
  | 'epoch'
  | 'expired'
  | 'authority'
  | 'key'
  | 'other-principal'

/** The subject of an epoch's intermediate, so the issuer of its SVIDs. */
export function issuerOfEpoch(epoch: number): string {
  return `CN=mayfly epoch ${epoch}`
}

/** Reads a verified certificate. */
export function readPeer(certificate: X509Certificate | undefined, trust: Trust, now: number): PeerReading {
  if (!certificate) return { ok: false, problem: 'no-certificate' }
  const id = SPIFFE_ID.exec(certificate.subjectAltName ?? '')
  if (!id) return { ok: false, problem: 'not-one-spiffe-id' }
  if (!trust.domains.has(id[2]!)) return { ok: false, problem: 'trust-domain' }
  if (certificate.ca) return { ok: false, problem: 'authority' }
  if (certificate.publicKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    return { ok: false, problem: 'key' }
  }
  const epoch = Number(EPOCH_ISSUER.exec(certificate.issuer)?.[1] ?? 0)
  const peer = {
    principal: id[1]!,
    epoch,
    notAfter: Date.parse(certificate.validTo),
    hash: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
  }
  const problem = peerProblem(peer, trust, now)
  return problem === null ? { ok: true, peer } : { ok: false, problem }
}

/** Why a peer that was read does not count any more, null where it still does: an open connection outlives its certificate. */
export function peerProblem(peer: TlsPeer, trust: Trust, now: number): 'epoch' | 'expired' | null {
  if (!trust.epochs.has(peer.epoch)) return 'epoch'
  return now < peer.notAfter ? null : 'expired'
}

/**
 * Exactly one subject alternative name, a SPIFFE ID in the form of Istio's workloads. Node quotes names with characters
 * that would let one pass for two, which do not match here.
 */
const SPIFFE_ID =
  /^URI:spiffe:\/\/(([a-z0-9](?:[a-z0-9._-]{0,253}))\/ns\/[a-z0-9](?:[a-z0-9-]{0,62})\/sa\/[a-z0-9](?:[a-z0-9.-]{0,252}))$/
const EPOCH_ISSUER = /^CN=mayfly epoch ([1-9]\d{0,8})$/
