import { MOST_KEY_SET_TEXT } from '../api/key-set.ts'

export type FetchedKeySet =
  | {
      readonly ok: true
      readonly text: string
      /** How long the server says that it holds, in milliseconds; null where it does not say. */
      readonly maxAgeMs: number | null
    }
  | { readonly ok: false; readonly problem: string }

/** Fetches a key set. Redirects are not followed: they lead to hosts that nobody has allowed. */
export async function fetchKeySet(uri: string, signal: AbortSignal): Promise<FetchedKeySet> {
  try {
    const response = await fetch(uri, {
      redirect: 'manual',
      signal,
      headers: { accept: 'application/jwk-set+json, application/json' },
    })
    const { status, body } = response
    if (status !== 200 || body === null) {
      await body?.cancel()
      return { ok: false, problem: `the server answers with status ${status}` }
    }
    const text = await readBounded(body)
    if (text === null) return { ok: false, problem: `the answer is longer than ${MOST_KEY_SET_TEXT} bytes` }
    return { ok: true, text, maxAgeMs: maxAge(response.headers.get('cache-control')) }
  } catch (error) {
    return { ok: false, problem: problemOf(error) }
  }
}

async function readBounded(body: ReadableStream<Uint8Array>): Promise<string | null> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    // Leaving the loop cancels the stream.
    if (size > MOST_KEY_SET_TEXT) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** RFC 9111 5.2.2.1; 0 where the answer may not be kept. */
function maxAge(cacheControl: string | null): number | null {
  const directives = (cacheControl ?? '')
    .toLowerCase()
    .split(',')
    .map((one) => one.trim())
  if (directives.includes('no-store') || directives.includes('no-cache')) return 0
  const seconds = directives
    .map((one) => /^max-age="?(\d{1,10})"?$/.exec(one)?.[1])
    .find((one) => one !== undefined)
  return seconds === undefined ? null : Number(seconds) * 1_000
}

function problemOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return 'the server did not answer in time'
  return error.cause instanceof Error ? error.cause.message : error.message
}
