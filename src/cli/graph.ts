import type { Command } from 'commander'
import { viewOf } from '../control/compile-mesh.ts'
import { deadRules } from '../control/dead-rules.ts'
import { callGraph } from '../control/graph.ts'
import { graphDot, graphText } from '../control/graph-text.ts'
import { chooseKey } from './function-name.ts'
import { readBasis } from './manifest-basis.ts'
import { fail } from './output.ts'
import { MESH_OPTION } from './program.ts'

interface GraphOptions {
  function?: string
  file?: string
  output: string
  mesh?: string
}

export function addGraph(program: Command): void {
  program
    .command('graph')
    .description('print who may call whom and on what conditions, and the rules that can never match')
    .argument('[dir]', 'a folder of manifests instead of those of the running mesh')
    .option('-f, --file <dir>', 'the same')
    .option('--function <function>', 'only the calls of this function and to it')
    .option('-o, --output <format>', 'text, dot (for Graphviz) or json', 'text')
    .option(...MESH_OPTION)
    .addHelpText('after', EXAMPLES)
    .action(graph)
}

const EXAMPLES = `
Examples:
  mayfly graph examples/shop
  mayfly graph --function payment
  mayfly graph examples/shop -o dot | dot -Tsvg > calls.svg`

async function graph(dir: string | undefined, options: GraphOptions): Promise<void> {
  const { output } = options
  if (!['text', 'dot', 'json'].includes(output)) fail(`-o ${output}: expected text, dot or json`, 2)
  if (dir !== undefined && options.file !== undefined) fail('name one folder: as argument or by --file', 2)
  const { resources, overrides } = await readBasis(dir ?? options.file, options.mesh)
  const view = viewOf(resources, overrides)
  const chosen = options.function === undefined ? null : chooseKey(options.function, view.functions)
  if (chosen && !chosen.ok) fail(chosen.message)
  const calls = callGraph(view, chosen?.key ?? null)
  if (output === 'dot') return console.log(graphDot(calls))
  const dead = deadRules(view)
  console.log(
    output === 'json' ? JSON.stringify({ ...calls, deadRules: dead }, null, 2) : graphText(calls, dead),
  )
}
