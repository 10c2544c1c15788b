import { createPublicKey } from 'node:crypto'
import { isMapping, type Reading } from './fields.ts'
import { quote } from './kubernetes-name.ts'

/** A public key of a JSON Web Key Set (RFC 7517) with which tokens can be verified. */
export interface VerificationKey {
  /** The name by which tokens choose it; '' where it has none. */
  readonly kid: string
  /** JWS algorithms (RFC 7518) that it may verify. */
  readonly algorithms: readonly string[]
  /** Its public members only. */
  readonly jwk: Readonly<Record<string, string>>
}

/** Most keys of one set; published sets have fewer than 20. */
export const MOST_KEYS = 64
/** Longest text of a key set, in characters. */
export const MOST_KEY_SET_TEXT = 262_144

/** What is read of a key set: the keys that can verify, and why the others cannot. */
export interface KeySetReading {
  readonly keys: readonly VerificationKey[]
  readonly left: readonly string[]
}

/**
 * Reads a key set's text. Keys for other purposes and of other kinds are left out, as RFC 7517 5 asks; a set without a key that can
 * be used is a mistake.
 */
export function readKeySet(value: string): Reading<KeySetReading> {
  if (value.length > MOST_KEY_SET_TEXT) return wrong(`is longer than ${MOST_KEY_SET_TEXT} characters`)
  const entries = readEntries(value)
  if (!entries.ok) return entries
  if (entries.value.length > MOST_KEYS)
    return wrong(`holds ${entries.value.length} keys, at most ${MOST_KEYS} are taken`)
  const keys: VerificationKey[] = []
  const left: string[] = []
  entries.value.forEach((entry, index) => {
    if (!isForSignatures(entry)) return
    const key = readKey(entry)
    if (key.ok) keys.push(key.value)
    else left.push(`keys[${index}] ${key.problem}`)
  })
  if (keys.length === 0)
    return wrong(`holds no key that can verify a token${left.length > 0 ? `: ${left[0]}` : ''}`)
  return { ok: true, value: { keys, left } }
}

/** A key set that a user writes himself: each of its keys is meant to be used, and none to be secret. */
export function checkKeySetText(value: string): string | null {
  const entries = readEntries(value)
  const secret = entries.ok
    ? entries.value.findIndex((entry) => isMapping(entry) && ('d' in entry || 'k' in entry))
    : -1
  if (secret >= 0) return `keys[${secret}] is a secret, which does not belong here: write the public key`
  const reading = readKeySet(value)
  if (!reading.ok) return reading.problem
  return reading.value.left[0] ?? null
}

export function checkKeySetUri(value: string): string | null {
  const url = URL.canParse(value) ? new URL(value) : null
  if (!url || !/^https?:$/.test(url.protocol) || url.hostname === '')
    return `${quote(value)} is not an http or https URL`
  if (url.username !== '' || url.password !== '') return 'may not hold a user name or password'
  return url.hash === '' ? null : `${quote(value)} has a fragment, which no server is told`
}

/** "host:port" of a URL, with the scheme's own port where it names none. */
export function hostOfUri(uri: string): string {
  const url = new URL(uri)
  return `${url.hostname}:${url.port || (url.protocol === 'https:' ? '443' : '80')}`
}

function readEntries(value: string): Reading<unknown[]> {
  let set: unknown
  try {
    set = JSON.parse(value)
  } catch (error) {
    return wrong(`is not JSON: ${error instanceof Error ? error.message : error}`)
  }
  if (!isMapping(set) || !Array.isArray(set.keys))
    return wrong('is not a JSON Web Key Set: expected {"keys": [...]}')
  return { ok: true, value: set.keys }
}

/** Sets hold keys for encryption as well (RFC 7517 4.2, 4.3): those mean nothing here. */
function isForSignatures(entry: unknown): boolean {
  if (!isMapping(entry)) return true
  const { use, key_ops: operations } = entry
  if (use !== undefined && use !== 'sig') return false
  return operations === undefined || (Array.isArray(operations) && operations.includes('verify'))
}

function readKey(entry: unknown): Reading<VerificationKey> {
  if (!isMapping(entry)) return wrong('is not a mapping')
  const { kid = '', alg } = entry
  if (typeof kid !== 'string' || kid.length > MOST_KID)
    return wrong(`has a kid that is no text of at most ${MOST_KID} characters`)
  const material = readMaterial(entry)
  if (!material.ok) return material
  const { algorithms, jwk } = material.value
  if (!isKey(jwk)) return wrong('is no key of its kind: its numbers do not fit together')
  if (alg === undefined) return { ok: true, value: { kid, algorithms, jwk } }
  if (typeof alg !== 'string' || !algorithms.includes(alg))
    return wrong(`is a ${jwk.kty} key with alg ${quote(String(alg))}: expected ${algorithms.join(' or ')}`)
  return { ok: true, value: { kid, algorithms: [alg], jwk } }
}

function readMaterial(
  entry: Record<string, unknown>,
): Reading<{ algorithms: readonly string[]; jwk: Record<string, string> }> {
  switch (entry.kty) {
    case 'RSA': {
      const jwk = publicMembers(entry, ['kty', 'n', 'e'])
      if (!jwk) return wrong('is an RSA key without n and e in base64url')
      const bits = bitLength(jwk.n!)
      // RFC 7518 3.3 sets the lower bound; the upper one bounds the time of a verification.
      if (bits < 2048 || bits > 8192) return wrong(`is an RSA key of ${bits} bits: expected 2048 to 8192`)
      if (Buffer.from(jwk.e!, 'base64url').length > 4) return wrong('has an exponent of more than 4 bytes')
      return { ok: true, value: { algorithms: RSA_ALGORITHMS, jwk } }
    }
    case 'EC': {
      const jwk = publicMembers(entry, ['kty', 'crv', 'x', 'y'])
      const algorithm = jwk && CURVES.get(jwk.crv!)
      if (!algorithm)
        return wrong('is an EC key of another curve than P-256, P-384 and P-521, or without x and y')
      return { ok: true, value: { algorithms: [algorithm], jwk } }
    }
    case 'OKP': {
      const jwk = publicMembers(entry, ['kty', 'crv', 'x'])
      if (jwk?.crv !== 'Ed25519') return wrong('is an OKP key of another curve than Ed25519, or without x')
      return { ok: true, value: { algorithms: ['EdDSA'], jwk } }
    }
    default:
      return wrong(`is of kind ${quote(String(entry.kty))}: expected RSA, EC or OKP`)
  }
}

/** The named members, all of which must be base64url texts; null where one is not. */
function publicMembers(
  entry: Record<string, unknown>,
  names: readonly string[],
): Record<string, string> | null {
  const members: Record<string, string> = {}
  for (const name of names) {
    const value = entry[name]
    if (typeof value !== 'string' || !/^[A-Za-z0-9_-]+$/.test(value)) return null
    members[name] = value
  }
  return members
}

/** Whether the platform takes it: a point must be on its curve. */
function isKey(jwk: Readonly<Record<string, string>>): boolean {
  try {
    createPublicKey({ key: jwk, format: 'jwk' })
    return true
  } catch {
    return false
  }
}

function bitLength(base64url: string): number {
  const bytes = Buffer.from(base64url, 'base64url')
  const first = bytes.findIndex((byte) => byte !== 0)
  return first < 0 ? 0 : (bytes.length - first) * 8 - Math.clz32(bytes[first]!) + 24
}

function wrong(problem: string): { ok: false; problem: string } {
  return { ok: false, problem }
}

/** As `kid` travels to the key in a request's own bounds. */
const MOST_KID = 1024
const RSA_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
const CURVES = new Map([
  ['P-256', 'ES256'],
  ['P-384', 'ES384'],
  ['P-521', 'ES512'],
])
