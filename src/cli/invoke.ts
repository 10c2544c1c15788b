import { readFileSync } from 'node:fs'
import { type ClientRequest, type RequestOptions, request } from 'node:http'
import type { Command } from 'commander'
import { findFunction, keyOf } from './function-name.ts'
import {
  answered,
  type MeshSource,
  openSource,
  SOURCE_HELP,
  SOURCE_OPTIONS,
  type SourceOptions,
} from './mesh-source.ts'
import type { NodeRow } from './node-rows.ts'
import { fail } from './output.ts'
import { parseHeader } from './parse-header.ts'

interface InvokeOptions extends SourceOptions {
  path: string
  method?: string
  data?: string
  header: string[]
  as?: string
  include?: boolean
  gateway?: string
}

export function addInvoke(program: Command): void {
  program
    .command('invoke')
    .description('send a request to a function of the running mesh and print the answer')
    .argument('<function>', 'namespace/name, or the name alone')
    .option('--path <path>', 'with its query', '/')
    .option('-X, --method <method>', 'GET, or POST with --data')
    .option('-d, --data <text>', 'body; @FILE: the content of a file, @-: standard input')
    .option(
      '-H, --header <field>',
      'a field "name: value"; may be given several times',
      (value, all: string[]) => [...all, value],
      [],
    )
    .option(
      '--as <function>',
      'call as this function does, from its egress address, instead of through the gateway',
    )
    .option('-i, --include', 'print the status and the fields of the answer too')
    .option(
      '--gateway <url>',
      'where the gateway is, where it is not reached at the address that it listens on',
    )
    .option(...SOURCE_OPTIONS[0])
    .option(...SOURCE_OPTIONS[1])
    .addHelpText('after', EXAMPLES + SOURCE_HELP)
    .action(invoke)
}

const EXAMPLES = `
The status is 0 for an answer below 400, else 1.

Examples:
  mayfly invoke frontend
  mayfly invoke shop/payment --as shop/cart -d '{}' --path /charge -i
`

async function invoke(name: string, options: InvokeOptions): Promise<void> {
  const { gateway } = options
  if (gateway !== undefined && !/^http:\/\/[^/]+\/?$/.test(gateway))
    fail(`--gateway ${gateway}: expected http://HOST:PORT`, 2)
  const source = await openSource(options)
  const callee = await findFunction(source, name)
  const { address, host } = options.as
    ? { address: await egressOf(source, options.as), host: `${callee.name}.${callee.namespace}` }
    : { address: gateway ?? (await gatewayOf(source)), host: callee.host }
  if (host === null)
    fail(`${keyOf(callee)} is cluster-local: the gateway does not serve it; call it --as another function`)
  const body = options.data === undefined ? undefined : readData(options.data)
  const given = options.header.map((text) => parseHeader(text))
  const headers = given.some(([name]) => name.toLowerCase() === 'host') ? given : [['host', host], ...given]
  if (body !== undefined) headers.push(['content-length', String(body.length)])
  const { hostname, port } = new URL(address)
  const sent = begin({
    host: hostname.replace(/^\[|\]$/g, ''),
    port,
    method: options.method ?? (body === undefined ? 'GET' : 'POST'),
    path: options.path,
    headers: headers.flat(),
    setHost: false,
  })
  sent.on('error', (error) => fail(`no answer from ${address}: ${error.message}`))
  sent.on('response', (response) => {
    if (options.include) {
      console.log(`HTTP/${response.httpVersion} ${response.statusCode} ${response.statusMessage}`)
      for (let i = 0; i < response.rawHeaders.length; i += 2) {
        console.log(`${response.rawHeaders[i]}: ${response.rawHeaders[i + 1]}`)
      }
      console.log()
    }
    response.pipe(process.stdout, { end: false })
    response.on('error', (error) => fail(`the answer broke off: ${error.message}`))
    response.on('end', () => {
      process.exitCode = response.statusCode! < 400 ? 0 : 1
    })
  })
  sent.end(body)
}

/** What Node would not put into a head (a line break, for instance) is a wrong command line. */
function begin(options: RequestOptions): ClientRequest {
  try {
    return request(options)
  } catch (error) {
    return fail(`this is no request that can be sent: ${(error as Error).message}`, 2)
  }
}

async function gatewayOf(source: MeshSource): Promise<string> {
  const nodes = answered(await source.status<NodeRow[]>('nodes'))
  const gateways = nodes.flatMap(({ gateway, state }) =>
    gateway !== null && state === 'ready' ? [gateway] : [],
  )
  const reachable = gateways.find((url) => !UNSPECIFIED.test(url))
  if (reachable !== undefined) return reachable
  if (gateways.length === 0) fail('no gateway is ready: start one with `mayfly gateway` (mayfly get nodes)')
  if (source.client === null) return gateways[0]!.replace(UNSPECIFIED, 'http://127.0.0.1:')
  return fail(`the gateway listens on every address of its machine (${gateways[0]}): name one with --gateway`)
}

/** It listens on every address. */
const UNSPECIFIED = /^http:\/\/(0\.0\.0\.0|\[::\]):/

async function egressOf(source: MeshSource, caller: string): Promise<string> {
  const { egress } = await findFunction(source, caller)
  if (egress === null) fail(`${caller} has no egress address`)
  return egress
}

function readData(text: string): Buffer {
  if (!text.startsWith('@')) return Buffer.from(text)
  const file = text === '@-' ? 0 : text.slice(1)
  try {
    return readFileSync(file)
  } catch (error) {
    return fail(`--data ${text}: ${(error as Error).message}`)
  }
}
