import { readFileSync } from 'node:fs'
import { type ClientRequest, type RequestOptions, request } from 'node:http'
import type { Command } from 'commander'
import { askMesh } from './admin-client.ts'
import { findFunction, keyOf } from './function-name.ts'
import { fail } from './output.ts'
import { parseHeader } from './parse-header.ts'
import { MESH_OPTION } from './program.ts'

interface InvokeOptions {
  path: string
  method?: string
  data?: string
  header: string[]
  as?: string
  include?: boolean
  mesh?: string
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
    .option(...MESH_OPTION)
    .addHelpText('after', EXAMPLES)
    .action(invoke)
}

const EXAMPLES = `
The status is 0 for an answer below 400, else 1.

Examples:
  mayfly invoke frontend
  mayfly invoke shop/payment --as shop/cart -d '{}' --path /charge -i`

async function invoke(name: string, options: InvokeOptions): Promise<void> {
  const callee = await findFunction(options.mesh, name)
  const { address, host } = options.as
    ? { address: await egressOf(options.mesh, options.as), host: `${callee.name}.${callee.namespace}` }
    : { address: await gatewayOf(options.mesh), host: callee.host }
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

async function gatewayOf(mesh: string | undefined): Promise<string> {
  const answer = await askMesh<{ gateway: string }>(mesh, 'mesh')
  if (!answer.ok) fail(answer.message)
  return answer.value.gateway
}

async function egressOf(mesh: string | undefined, caller: string): Promise<string> {
  const { egress } = await findFunction(mesh, caller)
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
