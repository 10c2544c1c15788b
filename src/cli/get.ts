import type { Command } from 'commander'
import { stringify } from 'yaml'
import { KIND_WORDS, kindOf, type Row, VIEWS, type View } from './kinds.ts'
import {
  type MeshSource,
  openSource,
  SOURCE_HELP,
  SOURCE_OPTIONS,
  type SourceOptions,
} from './mesh-source.ts'
import { FORMATS, type Format, fail, formatTable } from './output.ts'
import {
  ITEM_COLUMNS,
  type Item,
  itemRow,
  type Selection,
  selectResources,
  selectRows,
  splitTarget,
} from './selection.ts'
import { watchKind } from './watch-kind.ts'

interface GetOptions extends SourceOptions {
  output: string
  namespace?: string
  allNamespaces?: boolean
  selector?: string
  watch?: boolean
}

export function addGet(program: Command): void {
  program
    .command('get')
    .description(
      `list what a mesh has: ${Object.keys(VIEWS).join(', ')}; of a control plane also manifests, by their kind`,
    )
    .argument('[kind]', `${KIND_WORDS.join(' | ')}; KIND/NAME is one of them`, 'functions')
    .argument('[name]', 'NAME or NAMESPACE/NAME: this one alone')
    .option('-n, --namespace <namespace>', 'those of one namespace; all namespaces where it is left out')
    .option('-A, --all-namespaces', 'those of all namespaces')
    .option('-l, --selector <labels>', 'those with labels, as in "app=cart,tier!=test,team in (a, b)"')
    .option('-o, --output <format>', FORMATS.join(', '), 'table')
    .option('-w, --watch', 'go on with every change')
    .option(...SOURCE_OPTIONS[0])
    .option(...SOURCE_OPTIONS[1])
    .addHelpText('after', EXAMPLES + SOURCE_HELP)
    .action(get)
}

const EXAMPLES = `
Examples:
  mayfly get
  mayfly get instances -o json
  mayfly get nodes -w
  mayfly get authorizationpolicy -n shop -o yaml
  mayfly get service -l tier=back -o name
`

async function get(word: string, named: string | undefined, options: GetOptions): Promise<void> {
  const format = FORMATS.find((one) => one === options.output)
  if (!format)
    fail(`-o ${options.output}: expected ${FORMATS.slice(0, -1).join(', ')} or ${FORMATS.at(-1)}`, 2)
  if (options.allNamespaces && options.namespace !== undefined)
    fail('-A and -n contradict each other: write one of them', 2)
  const target = splitTarget(word, named)
  const kind = kindOf(target.word)
  const selection: Selection = {
    ...(target.name !== undefined && { name: target.name }),
    ...(options.namespace !== undefined && { namespace: options.namespace }),
    ...(options.selector !== undefined && { selector: options.selector }),
  }
  const source = await openSource(options)
  if (options.watch) return watchKind(source, kind, selection, format)
  if (kind.type === 'view') printRows(kind, await found(source, kind, selection), format, selection)
  else printItems(await foundItems(source, kind.name, selection), format, selection)
}

async function found(source: MeshSource, view: View, selection: Selection): Promise<Row[]> {
  const rows = await selectRows(source, view, selection)
  if (rows.length === 0 && selection.name !== undefined)
    fail(`there is none of ${view.name} called ${selection.name}`)
  return rows
}

async function foundItems(source: MeshSource, kind: string, selection: Selection): Promise<Item[]> {
  const items = await selectResources(source, kind, selection)
  if (items.length === 0 && selection.name !== undefined) fail(`there is no ${kind} ${selection.name}`)
  return items
}

function printRows(view: View, rows: Row[], format: Format, { name }: Selection): void {
  // What is asked for by its name is one thing, not a list of one.
  const value = name !== undefined && rows.length === 1 ? rows[0] : rows
  switch (format) {
    case 'json':
      return console.log(JSON.stringify(value, null, 2))
    case 'yaml':
      process.stdout.write(stringify(value))
      return
    case 'name':
      for (const row of rows) console.log(view.id(row))
      return
    case 'table':
      return console.log(formatTable(view.shown ? rows.map(view.shown) : rows, view.columns))
  }
}

function printItems(items: Item[], format: Format, { name }: Selection): void {
  const manifests = items.map(({ manifest }) => JSON.parse(manifest) as object)
  switch (format) {
    case 'json': {
      // Both can be applied again.
      const list = { apiVersion: 'v1', kind: 'List', items: manifests }
      const value = name !== undefined && manifests.length === 1 ? manifests[0] : list
      return console.log(JSON.stringify(value, null, 2))
    }
    case 'yaml':
      process.stdout.write(manifests.map((manifest) => stringify(manifest)).join('---\n'))
      return
    case 'name':
      for (const one of items) console.log(`${one.kind}/${one.namespace}/${one.name}`)
      return
    case 'table':
      return console.log(formatTable(items.map(itemRow), ITEM_COLUMNS))
  }
}
