// The request and the rules that every measurement shares, so that figures of one row mean the same in another.

/** Size of the request's head, its empty line included: what a browser's call through a gateway typically weighs. */
export const HEAD_BYTES = 632
export const HEAD_FIELDS = 12

/** What the upstream answers: 1 KiB of text. */
export const REPLY_BODY = 'mayfly/'.repeat(147).slice(0, 1024)

export const TARGET = '/api/v1/orders/8817?expand=items'
export const TENANT = 'acme'

/** A GET request's head of 632 bytes in 12 fields for the given authority. */
export function requestHead(authority: string): string {
  const head = (session: string) =>
    [
      `GET ${TARGET} HTTP/1.1`,
      `host: ${authority}`,
      'user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0',
      'accept: application/json, text/plain, */*',
      'accept-encoding: gzip, deflate, br, zstd',
      'accept-language: en-GB,en;q=0.9,de;q=0.7',
      'authorization: Basic bWF5Zmx5OmEtcGFzc3dvcmQ=',
      `x-tenant: ${TENANT}`,
      'x-user-role: customer',
      'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      'referer: https://shop.example.com/orders',
      'cache-control: no-cache',
      `cookie: session=${session}`,
      '',
      '',
    ].join('\r\n')
  const missing = HEAD_BYTES - head('').length
  if (missing < 1) throw new Error(`the authority ${authority} is too long for a head of ${HEAD_BYTES} bytes`)
  return head('5f'.repeat(missing).slice(0, missing))
}

/** The same head with a token where the other has a password. */
export function requestHeadWithToken(authority: string, token: string): string {
  return requestHead(authority).replace(/^authorization: .*$/m, `authorization: Bearer ${token}`)
}

/**
 * Ten authorization rules as an Istio AuthorizationPolicy writes them. None but the last matches the request, so
 * every one of them is evaluated. The proxies' own forms of the same rules stand in their own files.
 */
export const RULES = [
  { from: { ipBlocks: ['10.0.0.0/8'] }, to: { paths: ['/api/*'] } },
  { to: { methods: ['DELETE', 'PUT'], paths: ['/api/v1/orders/*'] } },
  { to: { hosts: ['admin.bench.example.com'] } },
  { to: { paths: ['/api/*'] }, when: { header: 'x-user-role', values: ['admin', 'owner'] } },
  { to: { methods: ['GET'], paths: ['*/metrics'] } },
  { to: { notMethods: ['GET'], paths: ['/internal/*'] } },
  { to: { ports: ['9090'] } },
  { to: { methods: ['GET'], paths: ['/api/v1/customers'] } },
  { from: { ipBlocks: ['192.168.0.0/16'] }, when: { header: 'user-agent', values: ['kube-probe/*'] } },
  { to: { methods: ['GET', 'POST'], paths: ['/api/v1/*'] }, when: { header: 'x-tenant', values: [TENANT] } },
] as const satisfies readonly Rule[]

export type Rule = {
  readonly from?: {
    readonly ipBlocks?: readonly string[]
    readonly principals?: readonly string[]
    readonly requestPrincipals?: readonly string[]
  }
  readonly to?: {
    readonly methods?: readonly string[]
    readonly notMethods?: readonly string[]
    readonly paths?: readonly string[]
    readonly hosts?: readonly string[]
    readonly ports?: readonly string[]
  }
  readonly when?: { readonly header: string; readonly values: readonly string[] }
}
