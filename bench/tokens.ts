import { generateKeyPairSync, sign } from 'node:crypto'
import { promisify } from 'node:util'

export const ISSUER = 'https://issuer.bench.example'
export const AUDIENCE = 'api'

/** Tokens that differ in who they are about and when they were made, and the keys to verify them by. */
export type Tokens = { readonly jwks: string; readonly tokens: readonly string[] }

const SUBJECTS = 100
const LIFE_SECONDS = 24 * 3600
const AT_ONCE = 64
const signAsync = promisify(sign)

/** Makes RS256 tokens of an issuer of the bench's own, for 100 subjects in turn; half a millisecond each. */
export async function makeTokens(count: number): Promise<Tokens> {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwks = JSON.stringify({
    keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'bench', use: 'sig' }],
  })
  const header = part({ alg: 'RS256', kid: 'bench', typ: 'JWT' })
  const now = Math.floor(Date.now() / 1000)
  const make = async (index: number) => {
    const subject = {
      sub: `user-${index % SUBJECTS}`,
      jti: `token-${index}`,
      scope: 'orders:read orders:write',
    }
    const life = { iat: now - 10, exp: now + LIFE_SECONDS }
    const input = `${header}.${part({ iss: ISSUER, aud: AUDIENCE, ...subject, ...life })}`
    return `${input}.${(await signAsync('sha256', Buffer.from(input), privateKey)).toString('base64url')}`
  }
  const tokens: string[] = []
  while (tokens.length < count) {
    const batch = Array.from(
      { length: Math.min(AT_ONCE, count - tokens.length) },
      (_, i) => tokens.length + i,
    )
    tokens.push(...(await Promise.all(batch.map(make))))
  }
  return { jwks, tokens }
}

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
