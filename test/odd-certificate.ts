// Certificates that a mesh's authority signs and no mesh must take.

import 'reflect-metadata'
import type { webcrypto } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'

export interface Odd {
  /** URIs; none: no subject alternative name. */
  names: string[]
  dns?: string[]
  key?: 'P-256' | 'P-384' | 'RSA'
  authority?: boolean
  usages?: string[]
}

const SIGNING = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const CLIENT_AND_SERVER = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']

/** Signs it with the key of the first epoch of the authority in `folder`. */
export async function oddCertificate(folder: string, odd: Odd): Promise<{ chain: string; key: string }> {
  const read = (name: string) => readFileSync(join(folder, name), 'utf8')
  const issuer = new X509Certificate(read('epoch-1.pem'))
  const signingKey = await crypto.subtle.importKey('pkcs8', der(read('epoch-1.key')), SIGNING, true, ['sign'])
  const keys = await generate(odd.key ?? 'P-256')
  const names = [
    ...odd.names.map((value) => ({ type: 'url' as const, value })),
    ...(odd.dns ?? []).map((value) => ({ type: 'dns' as const, value })),
  ]
  const leaf = await X509CertificateGenerator.create({
    serialNumber: '4242',
    issuer: issuer.subject,
    subject: 'CN=odd',
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 600_000),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new BasicConstraintsExtension(odd.authority === true, undefined, true),
      new KeyUsagesExtension(
        KeyUsageFlags.digitalSignature | (odd.authority ? KeyUsageFlags.keyCertSign : 0),
        true,
      ),
      new ExtendedKeyUsageExtension(odd.usages ?? CLIENT_AND_SERVER),
      await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      ...(names.length > 0 ? [new SubjectAlternativeNameExtension(names)] : []),
    ],
  })
  const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  return {
    chain: `${leaf.toString('pem')}\n${issuer.toString('pem')}\n`,
    key: `-----BEGIN PRIVATE KEY-----\n${key.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`,
  }
}

function generate(key: 'P-256' | 'P-384' | 'RSA'): Promise<webcrypto.CryptoKeyPair> {
  const uses: webcrypto.KeyUsage[] = ['sign', 'verify']
  if (key !== 'RSA') return crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: key }, true, uses)
  const publicExponent = new Uint8Array([1, 0, 1])
  const rsa = { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent, hash: 'SHA-256' }
  return crypto.subtle.generateKey(rsa, true, uses)
}

function der(pem: string): Buffer<ArrayBuffer> {
  return Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
}
