// Runs one file function: `node function-host.ts MODULE FD`. Where MODULE is "-" it waits for its standard input to say which, started ahead
// of when it is needed. Listens on a port of its own and writes it to file
// descriptor FD once the module is loaded. Every import here is paid for by each cold start; http comes by
// getBuiltinModule because an `import` of it makes Node load its whole fetch implementation (18 ms) before the module.
import type { IncomingMessage, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { type FetchFunction, serveFetch } from './fetch-server.ts'

const http = process.getBuiltinModule('node:http')
const fs = process.getBuiltinModule('node:fs')
const { pathToFileURL } = process.getBuiltinModule('node:url')
const { flushCompileCache } = process.getBuiltinModule('node:module')

type UpgradeFunction = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

const [named, descriptor] = process.argv.slice(2)
if (named === undefined || descriptor === undefined) fail('usage: function-host MODULE FD')

// The engine in front owns every limit and time-out: a connection that closed here while it is idle there would lose a
// request.
const server = http.createServer({
  keepAliveTimeout: 0,
  headersTimeout: 0,
  requestTimeout: 0,
  maxHeaderSize: 1024 * 1024,
  noDelay: true,
})
server.maxHeadersCount = 0
server.listen(0, '127.0.0.1')
await new Promise((resolve) => server.once('listening', resolve))
const { port } = server.address() as AddressInfo
const file = named === '-' ? await assigned() : named
process.argv = [process.argv[0]!, file]
process.env.PORT = String(port)

const module = await load(file)
server.on('request', serveFetch(module.fetch))
if (module.upgrade) server.on('upgrade', module.upgrade)
endOnSignal(server)
fs.writeSync(Number(descriptor), `${port}\n`)
fs.closeSync(Number(descriptor))

// Loads fetch's classes while the first request is still on its way here.
void globalThis.Request
// What a kill ends does not write the cache by itself.
setTimeout(flushCompileCache, 1_000).unref()

/** Waits to be told which module it is, in which folder and environment, and becomes as if it had been started so. */
async function assigned(): Promise<string> {
  // Whatever takes time and is the same for all is done while it waits.
  void globalThis.Request
  let text = ''
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk
  // The mesh has ended.
  if (text === '') process.exit(0)
  const { file, cwd, environment } = JSON.parse(text) as {
    file: string
    cwd: string
    environment: Record<string, string>
  }
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, environment)
  if (environment.NODE_USE_ENV_PROXY === '1') http.setGlobalProxyFromEnv(process.env)
  process.chdir(cwd)
  return file
}

async function load(path: string): Promise<{ fetch: FetchFunction; upgrade: UpgradeFunction | null }> {
  const loaded: Record<string, unknown> = await import(pathToFileURL(path).href)
  const main = loaded.default
  const own = (typeof main === 'object' && main !== null ? main : {}) as Record<string, unknown>
  const fetch = typeof main === 'function' ? main : own.fetch
  const upgrade = loaded.upgrade ?? own.upgrade
  if (typeof fetch !== 'function') {
    fail(`${path} has no function to call: export default { fetch(request) { return new Response(...) } }`)
  }
  if (upgrade !== undefined && typeof upgrade !== 'function') fail(`${path}: upgrade is not a function`)
  const bound = upgrade === own.upgrade ? upgrade?.bind(main) : upgrade
  return { fetch: fetch.bind(typeof main === 'function' ? undefined : main), upgrade: bound ?? null }
}

/** On SIGTERM requests in flight end, then the process does. The mesh sends no new ones by then. */
function endOnSignal(server: Server): void {
  process.once('SIGTERM', () => {
    server.close(() => process.exit(0))
    server.on('request', (_, response) => {
      response.shouldKeepAlive = false
    })
    const timer = setInterval(() => server.closeIdleConnections(), 10)
    timer.unref()
  })
}

function fail(message: string): never {
  fs.writeSync(2, `mayfly: ${message}\n`)
  process.exit(1)
}
