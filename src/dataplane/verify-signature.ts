import { constants, type KeyObject, verify } from 'node:crypto'

/** Whether a JWS signature is right (RFC 7518 3, RFC 8037 3.1). The key must be one for that algorithm. */
export function verifySignature(
  algorithm: string,
  key: KeyObject,
  signed: Buffer,
  signature: Buffer,
): boolean {
  switch (algorithm) {
    case 'EdDSA':
      return verify(null, signed, key, signature)
    case 'ES256':
    case 'ES384':
    case 'ES512':
      // Two numbers of the curve's size one after the other, and nothing else.
      if (signature.length !== SIZES[algorithm]) return false
      return verify(HASHES[algorithm]!, signed, { key, dsaEncoding: 'ieee-p1363' }, signature)
    case 'RS256':
    case 'RS384':
    case 'RS512':
      return verify(HASHES[algorithm]!, signed, key, signature)
    case 'PS256':
    case 'PS384':
    case 'PS512':
      return verify(HASHES[algorithm]!, signed, { key, ...PSS }, signature)
    default:
      return false
  }
}

const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
const SIZES: Readonly<Record<string, number>> = { ES256: 64, ES384: 96, ES512: 132 }
const HASHES: Readonly<Record<string, string>> = {
  RS256: 'sha256',
  RS384: 'sha384',
  RS512: 'sha512',
  PS256: 'sha256',
  PS384: 'sha384',
  PS512: 'sha512',
  ES256: 'sha256',
  ES384: 'sha384',
  ES512: 'sha512',
}
