import { stringify } from 'yaml'
import type { Kind, Row, View } from './kinds.ts'
import type { MeshSource } from './mesh-source.ts'
import { type Format, fail, formatRow, type Widths } from './output.ts'
import { ITEM_COLUMNS, type Item, itemRow, type Selection, selectResources, selectRows } from './selection.ts'

/** What a mesh is doing is looked at so often, in milliseconds. */
const LOOK_MS = 1_000

type Event = 'added' | 'modified' | 'deleted'

/** Prints what there is of a kind, then every change, until the command is ended. */
export async function watchKind(
  source: MeshSource,
  kind: Kind,
  selection: Selection,
  format: Format,
): Promise<void> {
  if (kind.type === 'view') return watchView(source, kind, selection, format)
  return watchResources(source, kind.name, selection, format)
}

async function watchView(
  source: MeshSource,
  view: View,
  selection: Selection,
  format: Format,
): Promise<void> {
  const print = printer(format, view.columns)
  const told = new Map<string, { row: Row; text: string }>()
  for (;;) {
    const rows = await selectRows(source, view, selection)
    const present = new Set<string>()
    for (const row of rows) {
      const id = view.id(row)
      const text = JSON.stringify(row)
      present.add(id)
      const before = told.get(id)
      if (before?.text === text) continue
      told.set(id, { row, text })
      print(before ? 'modified' : 'added', id, row, view.shown?.(row) ?? row)
    }
    for (const [id, { row }] of told) {
      if (present.has(id)) continue
      told.delete(id)
      print('deleted', id, row, view.shown?.(row) ?? row)
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

async function watchResources(
  source: MeshSource,
  kind: string,
  selection: Selection,
  format: Format,
): Promise<void> {
  // Says what is wrong with the query, and that a control plane is needed.
  await selectResources(source, kind, selection)
  const { called } = await import('./cluster-client.ts')
  const [space, own] = selection.name?.includes('/') ? selection.name.split('/') : [undefined, selection.name]
  const print = printer(format, ITEM_COLUMNS)
  const events = source.client!.watch({
    kind,
    namespace: selection.namespace ?? space ?? '',
    name: own ?? '',
    labelSelector: selection.selector ?? '',
  })
  const all = async () => {
    for await (const { type, item } of events) {
      if (!item || type === 'synced') continue
      const id = `${item.kind}/${item.namespace}/${item.name}`
      print(type as Event, id, JSON.parse((item as Item).manifest) as Row, itemRow(item as Item))
    }
  }
  await called(all())
  fail('the control plane has ended the watch')
}

/** Prints an event: a line of a table, or a JSON object or YAML document that has it as `type`. */
function printer(format: Format, columns: readonly string[]) {
  const shown = ['event', ...columns]
  const widths: Widths = []
  let isFirst = true
  return (type: Event, id: string, object: Row, row: Row): void => {
    if (format === 'json') return console.log(JSON.stringify({ type, object }))
    if (format === 'name') return console.log(`${type} ${id}`)
    if (format === 'yaml') return console.log(`---\n${stringify({ type, object }).trimEnd()}`)
    if (isFirst) console.log(formatRow(null, shown, widths))
    isFirst = false
    console.log(formatRow({ event: type, ...row }, shown, widths))
  }
}
