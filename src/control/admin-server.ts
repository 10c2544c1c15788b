import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { LogBook, LogLine } from '../runtime/log-book.ts'

/** What the command line asks of a running mesh; each answer is plain JSON. */
export interface AdminHandlers {
  functions(): unknown
  instances(): unknown
  policies(): unknown
  engines(): Promise<unknown>
  nodes(): unknown
  /** Certificates that engines hold. */
  identities(): Promise<unknown>
  /** Revokes all certificates issued so far. */
  newEpoch(): Promise<unknown>
  mesh(): unknown
  /** null: there is no such function. */
  describe(key: string): unknown
  /** null: no engine remembers that request. */
  decision(requestId: string): Promise<unknown>
  explain(request: unknown): unknown
  /** What other policies would have made of remembered requests. */
  whatIf(other: unknown): Promise<unknown>
  usage(): Promise<unknown>
  /** What nodes and instances have used up to now. */
  sample(): Promise<unknown>
  logs: LogBook
}

/** Longest request that is read, in bytes; one with policies may be longer. */
const MAX_BODY = 65_536
const MAX_POLICIES = 256 * 1024 * 1024

/** Answers the command line on a Unix socket that only its owner may open. Resolves once it listens. */
export function startAdminServer(socketPath: string, handlers: AdminHandlers): Promise<Server> {
  const server = createServer((request, response) => {
    answer(request, response, handlers).catch((error: Error) => {
      if (!response.headersSent) send(response, 500, { error: error.message })
      else response.destroy()
    })
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(socketPath, () => resolve(server))
  })
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  handlers: AdminHandlers,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://mayfly')
  const [version, what, ...rest] = url.pathname.slice(1).split('/')
  const name = rest.map(decodeURIComponent).join('/')
  if (version !== 'v1')
    return send(response, 404, { error: `nothing at ${url.pathname}: this API is at /v1` })
  switch (what) {
    case 'functions':
    case 'instances':
    case 'policies':
    case 'mesh':
    case 'nodes':
      return send(response, 200, handlers[what]())
    case 'engines':
    case 'identities':
    case 'usage':
    case 'sample':
      return send(response, 200, await handlers[what]())
    case 'new-epoch':
      if (request.method !== 'POST') return send(response, 405, { error: 'this changes the mesh: POST it' })
      return send(response, 200, await handlers.newEpoch())
    case 'describe':
      return sendFound(response, handlers.describe(name), `there is no function ${name}`)
    case 'decisions':
      return sendFound(response, await handlers.decision(name), `no engine remembers request ${name}`)
    case 'explain':
      return send(response, 200, handlers.explain(JSON.parse(await readBody(request))))
    case 'whatif':
      return send(response, 200, await handlers.whatIf(JSON.parse(await readBody(request, MAX_POLICIES))))
    case 'logs':
      return sendLogs(response, handlers.logs, url.searchParams)
    default:
      return send(response, 404, { error: `nothing at ${url.pathname}` })
  }
}

function sendFound(response: ServerResponse, value: unknown, missing: string): void {
  if (value === null || value === undefined) send(response, 404, { error: missing })
  else send(response, 200, value)
}

function send(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(`${JSON.stringify(value)}\n`)
}

/** One JSON object a line; with `follow` it goes on until the client goes away. */
function sendLogs(response: ServerResponse, logs: LogBook, query: URLSearchParams): void {
  const filter = query.get('function') ? { function: query.get('function')! } : {}
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  const write = (line: LogLine) => response.write(`${JSON.stringify(line)}\n`)
  const since = logs.recent(filter)
  const tail = query.has('tail') ? Number(query.get('tail')) : since.length
  for (const line of since.slice(Math.max(0, since.length - tail))) write(line)
  if (query.get('follow') !== 'true') {
    response.end()
    return
  }
  const unsubscribe = logs.subscribe(filter, (line) => {
    // A reader that does not keep up loses lines rather than filling this process's memory.
    if (response.writableLength < MAX_BODY * 16) write(line)
  })
  response.on('close', unsubscribe)
}

async function readBody(request: IncomingMessage, most = MAX_BODY): Promise<string> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of request) {
    length += part.length
    if (length > most) throw new Error(`the request is longer than ${most} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}
