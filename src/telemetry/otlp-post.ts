import { type Agent, type IncomingMessage, request } from 'node:http'

/** What came of sending a message: `again` where the same may be sent later, at the earliest after so long. */
export type Posted = { kind: 'taken' } | { kind: 'refused' } | { kind: 'again'; afterMs: number }

/** An export that takes longer has failed, in milliseconds. */
const EXPORT_MS = 10_000
/** OTLP/HTTP: with these a message may be sent again; with all other statuses from 400 on it never will be taken. */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504])

/** Sends an OTLP message in protobuf over HTTP. A collector that cannot be reached may be tried again. */
export function post(url: string, agent: Agent, body: Buffer): Promise<Posted> {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/x-protobuf', 'content-length': body.length }
    const sent = request(url, { method: 'POST', agent, headers, timeout: EXPORT_MS }, (response) => {
      response.resume()
      response.on('error', () => resolve({ kind: 'again', afterMs: 0 }))
      response.on('close', () => resolve(postedBy(response)))
    })
    sent.on('timeout', () => sent.destroy())
    sent.on('error', () => resolve({ kind: 'again', afterMs: 0 }))
    sent.end(body)
  })
}

function postedBy(response: IncomingMessage): Posted {
  const status = response.statusCode!
  if (status >= 200 && status < 300) return { kind: 'taken' }
  if (!RETRYABLE.has(status)) return { kind: 'refused' }
  return { kind: 'again', afterMs: retryAfterMs(response.headers['retry-after']) }
}

/** RFC 9110 10.2.3: seconds, or a date. */
function retryAfterMs(value: string | undefined): number {
  if (value === undefined) return 0
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1_000
  const at = Date.parse(value)
  return Number.isNaN(at) ? 0 : Math.max(0, at - Date.now())
}
