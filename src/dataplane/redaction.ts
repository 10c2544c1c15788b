// What of a request head may leave the engine: everything but what would let a reader act as the client. What policies match
// on stays: a token keeps its header and claims and loses its signature, a cookie keeps its name.

export interface RedactedHead {
  method: string
  /** The request target; values of parameters that look like credentials are left out. */
  target: string
  fields: [name: string, value: string][]
}

export const REDACTED = '[redacted]'

/** Reads a head that a sidecar has accepted; what is cut off or odd is left out rather than shown. */
export function redactHead(head: Buffer): RedactedHead {
  const [first = '', ...lines] = head.toString('latin1').split('\r\n')
  const [method = '', target = ''] = first.split(' ')
  const fields = lines.flatMap((line): [string, string][] => {
    const colon = line.indexOf(':')
    if (colon < 1) return []
    const name = line.slice(0, colon).toLowerCase()
    return [[name, redactValue(name, line.slice(colon + 1).trim())]]
  })
  return { method, target: redactTarget(target), fields }
}

export function redactTarget(target: string): string {
  const start = target.indexOf('?')
  const path = start < 0 ? target : target.slice(0, start)
  // User information of a target in absolute form.
  const shown = path.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, `$1${REDACTED}@`)
  if (start < 0) return withoutSignatures(shown)
  const query = target
    .slice(start + 1)
    .split('&')
    .map((pair) => {
      const equals = pair.indexOf('=')
      const name = equals < 0 ? pair : pair.slice(0, equals)
      return equals >= 0 && isSecret(decoded(name)) ? `${name}=${REDACTED}` : pair
    })
    .join('&')
  return withoutSignatures(`${shown}?${query}`)
}

function redactValue(name: string, value: string): string {
  switch (name) {
    case 'authorization':
    case 'proxy-authorization':
      return redactCredentials(value)
    case 'cookie':
      return value.split(';').map(redactCookie).join(';')
    case 'set-cookie': {
      const [cookie = '', ...attributes] = value.split(';')
      return [redactCookie(cookie), ...attributes].join(';')
    }
    case 'referer':
    case 'location':
      return redactTarget(value)
    default:
      return isSecret(name) ? redactToken(value) : withoutSignatures(value)
  }
}

/** "Bearer <token>" keeps the scheme, and of a token in parts all but the signature. */
function redactCredentials(value: string): string {
  const space = value.indexOf(' ')
  if (space < 0) return REDACTED
  return `${value.slice(0, space)} ${redactToken(value.slice(space + 1).trim())}`
}

function redactToken(value: string): string {
  const shown = withoutSignatures(value)
  return TOKEN_ONLY.test(value) ? shown : REDACTED
}

function redactCookie(cookie: string): string {
  const equals = cookie.indexOf('=')
  return equals < 0 ? REDACTED : `${cookie.slice(0, equals)}=${REDACTED}`
}

/** Signed tokens may stand anywhere. */
function withoutSignatures(text: string): string {
  return text.replace(TOKEN, `$1.${REDACTED}`)
}

/** A JWS in compact form: a header that begins with `{"`, claims, signature. */
const TOKEN = /(eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*)\.[A-Za-z0-9_-]*/g
const TOKEN_ONLY = /^(?:Bearer )?eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*$/i

function isSecret(name: string): boolean {
  return SECRET.test(name)
}

const SECRET =
  /(?:^|[-_.])(?:api[-_]?key|apikey|auth|authorization|access[-_]?key|access[-_]?token|code|cookie|credentials?|csrf|xsrf|id[-_]?token|jwt|key|password|passwd|pwd|refresh[-_]?token|secret|session(?:[-_]?id)?|sid|sig|signature|token|assertion)(?:$|[-_.])/i

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
