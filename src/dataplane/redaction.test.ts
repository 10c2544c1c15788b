import assert from 'node:assert/strict'
import { test } from 'node:test'
import { redactHead, redactTarget } from './redaction.ts'

const TOKEN = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9'
const SIGNATURE = 'c2VjcmV0LXNpZ25hdHVyZQ'

function fieldsOf(...lines: string[]): Record<string, string> {
  const head = `GET / HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`
  return Object.fromEntries(redactHead(Buffer.from(head, 'latin1')).fields)
}

test('credentials do not leave the engine, what policies match on does', () => {
  assert.deepEqual(
    fieldsOf(
      'Host: cart.shop',
      `Authorization: Bearer ${TOKEN}.${SIGNATURE}`,
      'Proxy-Authorization: Basic dXNlcjpwYXNz',
      'Cookie: session=abc; theme=dark',
      'Set-Cookie: id=secret; Path=/',
      'X-Api-Key: k-123',
      'apikey: k-123',
      'X-Auth-Token: t-123',
      'X-Amz-Security-Token: t-123',
      `X-Id-Token: ${TOKEN}.${SIGNATURE}`,
      `X-Forwarded-Note: seen ${TOKEN}.${SIGNATURE} there`,
      'Referer: https://a.example/?token=t-123&page=2',
      'X-User: me',
      'Content-Type: text/plain',
    ),
    {
      host: 'cart.shop',
      authorization: `Bearer ${TOKEN}.[redacted]`,
      'proxy-authorization': 'Basic [redacted]',
      cookie: 'session=[redacted]; theme=[redacted]',
      'set-cookie': 'id=[redacted]; Path=/',
      'x-api-key': '[redacted]',
      apikey: '[redacted]',
      'x-auth-token': '[redacted]',
      'x-amz-security-token': '[redacted]',
      'x-id-token': `${TOKEN}.[redacted]`,
      'x-forwarded-note': `seen ${TOKEN}.[redacted] there`,
      referer: 'https://a.example/?token=[redacted]&page=2',
      'x-user': 'me',
      'content-type': 'text/plain',
    },
  )
  assert.deepEqual(fieldsOf('authorization: onlyone'), { authorization: '[redacted]' })
})

test('a target loses the values of parameters that name credentials, and signatures anywhere', () => {
  const cases: [string, string][] = [
    ['/a?b=c', '/a?b=c'],
    ['/a?access_token=x&q=1&api%5Fkey=y', '/a?access_token=[redacted]&q=1&api%5Fkey=[redacted]'],
    [`/a/${TOKEN}.${SIGNATURE}`, `/a/${TOKEN}.[redacted]`],
    [`/a?t=${TOKEN}.${SIGNATURE}`, `/a?t=${TOKEN}.[redacted]`],
    ['http://user:pass@host/a', 'http://[redacted]@host/a'],
    ['/a?flag&sig=%zz', '/a?flag&sig=[redacted]'],
    ['*', '*'],
  ]
  for (const [target, shown] of cases) assert.equal(redactTarget(target), shown)
})
