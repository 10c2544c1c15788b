import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'

/** A function in the manner of the Fetch API. */
export type FetchFunction = (request: Request) => Response | Promise<Response>

/** Serves a fetch function over Node's HTTP server; bodies stream both ways, no faster than they are read. */
export function serveFetch(fetch: FetchFunction): RequestListener {
  return (incoming, outgoing) => {
    void exchange(fetch, incoming, outgoing)
  }
}

async function exchange(
  fetch: FetchFunction,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  // A body that does not have its declared length must not look whole.
  outgoing.strictContentLength = true
  const gone = new AbortController()
  outgoing.on('close', () => {
    if (!outgoing.writableFinished) gone.abort(new DOMException('the client has gone away', 'AbortError'))
  })
  // A function may answer before it has read the body; what is left must go for the connection to be of use again.
  outgoing.on('finish', () => incoming.resume())
  incoming.on('error', () => {})
  outgoing.on('error', () => {})

  const request = toRequest(incoming, gone.signal)
  if (request === null) return fail(outgoing, 400, 'Bad Request')
  try {
    const response = await fetch(request)
    if (!isResponse(response)) throw new TypeError('the function returned no Response')
    if (gone.signal.aborted) await response.body?.cancel(gone.signal.reason)
    else await send(response, outgoing, incoming.method === 'HEAD')
  } catch (error) {
    if (gone.signal.aborted) return
    console.error(error)
    // A body that was begun cannot be taken back: ending the connection tells the client that it is not whole.
    if (outgoing.headersSent) outgoing.destroy()
    else fail(outgoing, 500, 'Internal Server Error')
  }
}

/** Null where Fetch knows no such request (CONNECT, TRACE, a Host that is none). */
function toRequest(incoming: IncomingMessage, signal: AbortSignal): Request | null {
  const raw = incoming.rawHeaders
  const headers: [string, string][] = []
  for (let i = 0; i < raw.length; i += 2) headers.push([raw[i]!, raw[i + 1]!])
  const method = incoming.method!
  const target = incoming.url!
  const host = incoming.headers.host ?? 'localhost'
  const url = target.startsWith('/') ? `http://${host}${target}` : target === '*' ? `http://${host}/` : target
  const hasBody =
    incoming.headers['transfer-encoding'] !== undefined || Number(incoming.headers['content-length'] ?? 0) > 0
  try {
    if (!hasBody || method === 'GET' || method === 'HEAD')
      return new Request(url, { method, headers, signal })
    return new Request(url, { method, headers, signal, body: toStream(incoming), duplex: 'half' })
  } catch {
    return null
  }
}

/** Reads from the connection only as the stream is read. */
function toStream(incoming: IncomingMessage): ReadableStream<Uint8Array> {
  let open = true
  const close = (act: () => void) => {
    if (open) act()
    open = false
  }
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        incoming.pause()
        incoming.on('data', (chunk: Buffer) => {
          if (!open) return
          // Copied, because a byte stream takes its chunk's whole buffer away, and Node shares that among messages.
          controller.enqueue(new Uint8Array(chunk))
          incoming.pause()
        })
        incoming.pause()
        incoming.on('end', () => close(() => controller.close()))
        incoming.on('error', (error) => close(() => controller.error(error)))
        incoming.on('close', () => close(() => controller.error(new Error('the request was aborted'))))
      },
      pull() {
        incoming.resume()
      },
      cancel() {
        close(() => {})
        incoming.resume()
      },
    },
    { highWaterMark: 0 },
  )
}

async function send(response: Response, outgoing: ServerResponse, isHead: boolean): Promise<void> {
  const headers: string[] = []
  for (const [name, value] of response.headers) if (name !== 'transfer-encoding') headers.push(name, value)
  const body = isHead || response.body === null ? null : response.body.getReader()
  if (isHead) await response.body?.cancel()
  const first = await body?.read()
  if (body === null || first!.done) {
    if (!isHead && !response.headers.has('content-length') && !NO_BODY.has(response.status))
      headers.push('content-length', '0')
    writeHead(response, outgoing, headers)
    outgoing.end()
    return
  }
  // A body that is whole already (a string, bytes) says so at once, and goes out with its length instead of in chunks.
  const second = body.read()
  const isWhole = await Promise.race([second.then(({ done }) => done), nextTurn()])
  let chunk = bytesOf(first!.value)
  if (isWhole && !response.headers.has('content-length'))
    headers.push('content-length', String(chunk.byteLength))
  writeHead(response, outgoing, headers)
  outgoing.on('close', () => void body.cancel().catch(() => {}))
  let ahead: typeof second | null = second
  for (; ; ahead = null) {
    if (!outgoing.write(chunk)) await drained(outgoing)
    const { done, value } = await (ahead ?? body.read())
    if (done || outgoing.destroyed) break
    chunk = bytesOf(value)
  }
  outgoing.end()
}

function bytesOf(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk
  throw new TypeError("a response's body must consist of Uint8Array chunks")
}

function writeHead(response: Response, outgoing: ServerResponse, headers: string[]): void {
  if (response.statusText) outgoing.writeHead(response.status, response.statusText, headers)
  else outgoing.writeHead(response.status, headers)
}

function fail(outgoing: ServerResponse, status: number, text: string): void {
  const headers = { 'content-type': 'text/plain; charset=utf-8', 'content-length': text.length + 1 }
  outgoing.writeHead(status, headers)
  outgoing.end(`${text}\n`)
}

function drained(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      outgoing.off('drain', done)
      outgoing.off('close', done)
      resolve()
    }
    outgoing.on('drain', done)
    outgoing.on('close', done)
  })
}

function nextTurn(): Promise<false> {
  return new Promise((resolve) => setImmediate(() => resolve(false)))
}

/** Also a Response of another implementation, such as a library's own. */
function isResponse(value: unknown): value is Response {
  if (typeof value !== 'object' || value === null) return false
  const { status, headers, body } = value as Partial<Response>
  const hasBody = body === null || typeof body?.getReader === 'function'
  return (
    typeof status === 'number' && typeof headers?.has === 'function' && Symbol.iterator in headers && hasBody
  )
}

/** Statuses whose responses have no body and no content-length of zero either (RFC 9110 8.6). */
const NO_BODY = new Set([204, 304])
