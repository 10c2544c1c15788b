import type { Command } from 'commander'
import { stringify } from 'yaml'
import { findFunction, keyOf } from './function-name.ts'
import { kindOf, type Row, readKind, VIEWS } from './kinds.ts'
import {
  answered,
  type MeshSource,
  openSource,
  SOURCE_HELP,
  SOURCE_OPTIONS,
  type SourceOptions,
} from './mesh-source.ts'
import { fail } from './output.ts'
import { oneResource, selectRows, splitTarget } from './selection.ts'

interface DescribeOptions extends SourceOptions {
  output: string
  namespace?: string
}

export function addDescribe(program: Command): void {
  program
    .command('describe')
    .description(
      'show all that a mesh knows of a function (manifest, instances, the rules in force), an instance, a node, or a manifest',
    )
    .argument('<kind-or-function>', 'a kind with a NAME behind it, KIND/NAME, or a function alone')
    .argument('[name]', 'NAME or NAMESPACE/NAME')
    .option('-n, --namespace <namespace>', 'where the name is')
    .option('-o, --output <format>', 'yaml or json', 'yaml')
    .option(...SOURCE_OPTIONS[0])
    .option(...SOURCE_OPTIONS[1])
    .addHelpText('after', EXAMPLES + SOURCE_HELP)
    .action(async (word: string, named: string | undefined, options: DescribeOptions) => {
      if (!['yaml', 'json'].includes(options.output)) fail(`-o ${options.output}: expected yaml or json`, 2)
      const source = await openSource(options)
      const value = await described(source, word, named, options.namespace)
      if (options.output === 'json') console.log(JSON.stringify(value, null, 2))
      else process.stdout.write(stringify(value))
    })
}

const EXAMPLES = `
Examples:
  mayfly describe shop/cart -o json
  mayfly describe node n1
  mayfly describe authorizationpolicy shop/only-cart-charges
`

async function described(
  source: MeshSource,
  word: string,
  named: string | undefined,
  namespace: string | undefined,
): Promise<unknown> {
  const target = splitTarget(word, named)
  // "shop/cart" is a function, "node/n1" a node.
  if (target.name === undefined || (named === undefined && readKind(target.word) === null))
    return describeFunction(source, qualified(word, namespace))
  const { name } = target
  const kind = kindOf(target.word)
  if (kind.type === 'resource') return describeResource(source, kind.name, name, namespace)
  if (kind.name === 'functions') return describeFunction(source, qualified(name, namespace))
  const [row] = await selectRows(source, kind, { name, ...(namespace !== undefined && { namespace }) })
  if (!row) return fail(`there is none of ${kind.name} called ${name}`)
  return kind.name === 'nodes' ? { ...row, instances: await instancesOn(source, name) } : row
}

async function describeFunction(source: MeshSource, name: string): Promise<unknown> {
  const key = keyOf(await findFunction(source, name))
  return answered(await source.status('describe', key))
}

async function instancesOn(source: MeshSource, node: string): Promise<Row[]> {
  return (await selectRows(source, VIEWS.instances!, {})).filter((row) => row.node === node)
}

/** A Service with the revisions that it can be taken back to. */
async function describeResource(
  source: MeshSource,
  kind: string,
  name: string,
  namespace: string | undefined,
): Promise<unknown> {
  const item = await oneResource(source, kind, name, namespace)
  const manifest = JSON.parse(item.manifest) as object
  if (kind !== 'Service') return manifest
  const { called } = await import('./cluster-client.ts')
  const { revisions } = await called(source.client!.listRevisions(item))
  return {
    manifest,
    revisions: revisions.map((one) => ({ name: one.name, current: one.current })),
  }
}

function qualified(name: string, namespace: string | undefined): string {
  return namespace === undefined || name.includes('/') ? name : `${namespace}/${name}`
}
