import 'reflect-metadata'
import { Pkcs10CertificateRequest, Pkcs10CertificateRequestGenerator } from '@peculiar/x509'
import type { CertificateAuthority } from '../certificate-authority.ts'
import { keyHashOf } from './asker.ts'

/** A certificate and its private key, as PEM. */
export interface ControlIdentity {
  certificate: string
  /** PKCS #8. */
  key: string
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/** A key and a certificate for the control plane itself or a client of it. */
export async function newIdentity(
  authority: CertificateAuthority,
  principal: string,
  names: readonly string[] = [],
): Promise<ControlIdentity> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const certificate = await authority.certify(keys.publicKey, principal, names)
  return { certificate, key: await toPem(keys.privateKey) }
}

/** A key that stays where it was made, and the request (PKCS #10, DER) to certify it. */
export async function newRequest(): Promise<{ key: string; request: Uint8Array }> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: '',
    keys,
    signingAlgorithm: ALGORITHM,
  })
  return { key: await toPem(keys.privateKey), request: new Uint8Array(request.rawData) }
}

/**
 * Certifies what is asked for by a request, once its sender has proved to have the key; else says what is wrong with it. `keyHash`
 * is that of the key (keyHashOf); `lifetimeMs` is the authority's own where none is named.
 */
export async function certifyRequest(
  authority: CertificateAuthority,
  request: Uint8Array,
  principal: string,
  lifetimeMs?: number,
): Promise<{ ok: true; certificate: string; keyHash: string } | { ok: false; message: string }> {
  try {
    const parsed = new Pkcs10CertificateRequest(new Uint8Array(request))
    const { algorithm } = parsed.publicKey
    if (!('namedCurve' in algorithm) || algorithm.namedCurve !== 'P-256')
      return { ok: false, message: 'the certificate request is for another key than one of P-256' }
    if (!(await parsed.verify()))
      return { ok: false, message: 'the certificate request is not signed by its own key' }
    const key = await parsed.publicKey.export(ALGORITHM, ['verify'])
    const certificate = await authority.certify(key, principal, [], lifetimeMs)
    return { ok: true, certificate, keyHash: keyHashOf(new Uint8Array(parsed.publicKey.rawData)) }
  } catch (error) {
    return { ok: false, message: `the certificate request cannot be read: ${(error as Error).message}` }
  }
}

async function toPem(key: CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', key))
  const lines = der.toString('base64').match(/.{1,64}/g)!
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`
}
