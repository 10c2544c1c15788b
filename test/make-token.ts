// Tokens for tests, also such as no library would make.

import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSign,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto'

export const NOW = Date.UTC(2026, 10, 24, 12)
export const SECONDS = NOW / 1000
export const ISSUER = 'https://issuer.example'

export const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
export const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
export const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
export const ec384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
export const ed = generateKeyPairSync('ed25519')
export const HEADER = { alg: 'RS256', kid: 'rsa', typ: 'JWT' }
export const CLAIMS = { iss: ISSUER, sub: 'somebody', aud: 'api', iat: SECONDS - 10, exp: SECONDS + 600 }
export const JWKS = JSON.stringify({
  keys: [
    { ...rsa.publicKey.export({ format: 'jwk' }), kid: 'rsa', use: 'sig' },
    { ...ec.publicKey.export({ format: 'jwk' }), kid: 'ec' },
    { ...ec384.publicKey.export({ format: 'jwk' }), kid: 'ec384' },
    { ...ed.publicKey.export({ format: 'jwk' }), kid: 'ed' },
    { ...otherRsa.publicKey.export({ format: 'jwk' }), kid: 'only-ps', alg: 'PS256' },
  ],
})

/** Latin-1, so that tests can write any bytes. */
export function segment(text: string): string {
  return Buffer.from(text, 'latin1').toString('base64url')
}

export function jws(header: string, payload: string): string {
  const input = `${segment(header)}.${segment(payload)}`
  return `${input}.${createSign('sha256').update(input).sign(rsa.privateKey, 'base64url')}`
}

export function withHeader(header: object): string {
  return jws(JSON.stringify(header), JSON.stringify(CLAIMS))
}

export function withClaims(claims: object, more = ''): string {
  return jws(JSON.stringify(HEADER), `${JSON.stringify({ ...CLAIMS, ...claims }).slice(0, -1)}${more}}`)
}

export function unsigned(header: object): string {
  return `${segment(JSON.stringify(header))}.${segment(JSON.stringify(CLAIMS))}.`
}

export function hmac(alg: string, secret: string): string {
  const input = unsigned({ alg, kid: 'rsa' }).slice(0, -1)
  return `${input}.${createHmac(alg.replace('HS', 'sha'), secret).update(input).digest('base64url')}`
}

export function signed(header: { alg: string; [name: string]: unknown }, key: KeyObject): string {
  const input = unsigned(header).slice(0, -1)
  const hash = header.alg === 'EdDSA' ? null : `sha${header.alg.slice(2)}`
  const options = header.alg.startsWith('PS')
    ? { key, padding: 6, saltLength: -1 }
    : { key, dsaEncoding: 'ieee-p1363' as const }
  const isEc = createPrivateKey(key.export({ format: 'pem', type: 'pkcs8' })).asymmetricKeyType === 'ec'
  return `${input}.${sign(isEc ? (hash ?? 'sha256') : hash, Buffer.from(input), options).toString('base64url')}`
}

export function ecDer(): string {
  const input = unsigned({ alg: 'ES256', kid: 'ec' }).slice(0, -1)
  return `${input}.${sign('sha256', Buffer.from(input), ec.privateKey).toString('base64url')}`
}

export function pem(key: KeyObject): string {
  return createPublicKey(key.export({ format: 'pem', type: 'spki' }))
    .export({ format: 'pem', type: 'spki' })
    .toString()
}

/** The same bytes in another text: 256 bytes of an RSA signature leave 4 bits unused. */
export function otherLastBits(token: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return token.slice(0, -1) + alphabet[alphabet.indexOf(token.at(-1)!) ^ 1]
}

export function looseHeaderBits(): string {
  const header = segment('{"alg":"RS256","kid":"rsa" }')
  const input = `${header.slice(0, -1)}${String.fromCharCode(header.charCodeAt(header.length - 1) + 1)}.${segment(JSON.stringify(CLAIMS))}`
  return `${input}.${createSign('sha256').update(input).sign(rsa.privateKey, 'base64url')}`
}
