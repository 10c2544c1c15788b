import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import type { Command } from 'commander'
import { type ExplainedVerdict, type Explanation, explainRequest } from '../control/explain.ts'
import type { PastDecision } from '../control/past-decision.ts'
import { directionText } from '../control/verdict-text.ts'
import type { Again } from '../dataplane/decision-review.ts'
import { ipBytes } from '../dataplane/ip-bytes.ts'
import { loadSidecars } from '../dataplane/sidecar.ts'
import { chooseKey, findFunction, keyOf } from './function-name.ts'
import { loadFolder } from './load-folder.ts'
import { answered, openSource, SOURCE_HELP, SOURCE_OPTIONS, type SourceOptions } from './mesh-source.ts'
import { fail, formatTable } from './output.ts'
import { parseHeader } from './parse-header.ts'
import { sidecarWasm } from './sidecar-wasm.ts'

interface ExplainOptions extends SourceOptions {
  to?: string
  from?: string
  method: string
  path: string
  header: string[]
  sourceIp: string
  file?: string
  output: string
}

export function addExplain(program: Command): void {
  program
    .command('explain')
    .description(
      "show each policy's verdict and the rule that decided, for a past request or for one described here",
    )
    .argument('[request-id]', "a past request's x-request-id")
    .option('--to <function>', 'the function that the request is for')
    .option(
      '--from <function>',
      'the function that calls; outside, through the gateway, where it is left out',
    )
    .option('-X, --method <method>', 'method', 'GET')
    .option('--path <path>', 'with its query', '/')
    .option(
      '-H, --header <field>',
      'a field "name: value"; may be given several times',
      (value, all: string[]) => [...all, value],
      [],
    )
    .option('--source-ip <address>', "the peer's address", '127.0.0.1')
    .option('-f, --file <dir>', 'judge by a folder of manifests instead of the running mesh')
    .option('-o, --output <format>', 'text or json', 'text')
    .option(...SOURCE_OPTIONS[0])
    .option(...SOURCE_OPTIONS[1])
    .addHelpText('after', EXAMPLES + SOURCE_HELP)
    .action(explain)
}

const EXAMPLES = `
Examples:
  mayfly explain 7b0c1f8e-3c59-4d2f-9a55-0d6b8f1c2e34
  mayfly explain --from shop/cart --to shop/payment -X POST --path /charge
  mayfly explain -f examples/shop --to shop/frontend
`

async function explain(requestId: string | undefined, options: ExplainOptions): Promise<void> {
  if (!['text', 'json'].includes(options.output)) fail(`-o ${options.output}: expected text or json`, 2)
  if (isIP(options.sourceIp) === 0) fail(`--source-ip ${options.sourceIp}: expected an IP address`, 2)
  if (requestId !== undefined && (options.to ?? options.from ?? options.file) !== undefined) {
    fail('a past request is named by its id alone, without --to, --from and --file', 2)
  }
  if (requestId !== undefined) return explainPast(requestId, options)
  if (options.to === undefined) fail('say which request: its id, or --to FUNCTION (mayfly explain --help)', 2)
  const explanation = options.file
    ? await explainByFolder(options.file, options.to, options)
    : await explainByMesh(options.to, options)
  if (options.output === 'json') return console.log(JSON.stringify(explanation, null, 2))
  const { outcome, status, text, microseconds } = explanation
  console.log(
    `${outcome}${status >= 400 ? ` (${status})` : ''} after ${microseconds} us${text ? `: ${text}` : ''}`,
  )
  printVerdicts(explanation.verdicts)
}

async function explainPast(requestId: string, options: ExplainOptions): Promise<void> {
  const source = await openSource(options)
  const value = answered(await source.status<PastDecision>('decisions', requestId))
  if (options.output === 'json') return console.log(JSON.stringify(value, null, 2))
  const took = value.durationMs.toFixed(1)
  console.log(
    `${new Date(value.time).toISOString()}: answered ${value.status} in ${took} ms by ${value.engine}`,
  )
  if (value.request) console.log(`${value.request.method} ${value.request.target}`)
  printVerdicts(value.verdicts)
  for (const { function: key, direction, again } of value.again) {
    console.log(`${key} (${directionText(direction)}): ${AGAIN[again]}`)
  }
}

const AGAIN: Readonly<Record<Again, string>> = {
  same: 'decided once more from its input, with the same result',
  differs:
    'decided once more from its input, with ANOTHER result: the sidecar is not the one that decided then',
  'other-policy': 'not decided once more: the function has had another policy since',
  'not-kept': 'not decided once more: its input is not kept any longer',
}

async function explainByMesh(to: string, options: ExplainOptions): Promise<Explanation> {
  const source = await openSource(options)
  const request = {
    to: keyOf(await findFunction(source, to)),
    from: options.from ? keyOf(await findFunction(source, options.from)) : null,
    ...described(options),
    sourceIp: options.sourceIp,
  }
  return answered(await source.explain(request))
}

async function explainByFolder(dir: string, to: string, options: ExplainOptions): Promise<Explanation> {
  const loaded = await loadFolder([dir])
  if (!loaded.ok) fail(loaded.errors.join('\n'))
  const functions = [...loaded.mesh.functions.values()].map(({ spec }) => spec)
  const resolve = (name: string) => {
    const chosen = chooseKey(name, functions)
    return chosen.ok ? chosen.key : fail(chosen.message)
  }
  return explainRequest(loaded.mesh, loadSidecars(readFileSync(sidecarWasm())), {
    to: resolve(to),
    from: options.from ? resolve(options.from) : null,
    ...described(options),
    sourceIp: ipBytes(options.sourceIp),
  })
}

function described({ method, path, header }: ExplainOptions) {
  return { method, path, headers: header.map((text) => parseHeader(text)) }
}

function printVerdicts(verdicts: ExplainedVerdict[]): void {
  if (verdicts.length === 0) return console.log('no policy was asked')
  const rows = verdicts.map((one) => ({
    ...one,
    rule: one.rule ?? (one.policy === 'authorization' && one.verdict === 'deny' ? 'none allows it' : null),
  }))
  console.log(formatTable(rows, ['function', 'direction', 'policy', 'verdict', 'rule']))
}
