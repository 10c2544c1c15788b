import type { Row, View } from './kinds.ts'
import { answered, type MeshSource } from './mesh-source.ts'
import { fail } from './output.ts'

/** Which of a kind a user means. */
export interface Selection {
  /** "name" or "namespace/name"; undefined: all. */
  name?: string
  namespace?: string
  /** As kubectl's: "app=cart,tier!=test". */
  selector?: string
}

/** The rows of a view that are meant. */
export async function selectRows(
  source: MeshSource,
  view: View,
  { name, namespace, selector }: Selection,
): Promise<Row[]> {
  const { functionOf } = view
  if (!functionOf && namespace !== undefined) fail(`${view.name} are in no namespace: leave -n out`, 2)
  const isLabelled = selector === undefined ? () => true : await labelled(source, view, selector)
  const rows = await readRows(source, view)
  return rows.filter((row) => {
    const key = functionOf?.(row) ?? null
    return (
      (name === undefined || view.id(row) === name || (key !== null && row.name === name)) &&
      (namespace === undefined || key?.startsWith(`${namespace}/`) === true) &&
      isLabelled(key ?? '')
    )
  })
}

async function readRows(source: MeshSource, view: View): Promise<Row[]> {
  if (view.name !== 'credentials') return answered(await source.status<Row[]>(view.name))
  if (source.client === null)
    return fail('a mesh on this machine has no credentials: whoever may open its socket may ask it')
  const { called } = await import('./cluster-client.ts')
  const { credentials } = await called(source.client.listCredentials({}))
  return credentials.map(({ name, readOnly, createdAt, expiresAt, createdBy }) => ({
    name,
    readOnly,
    createdAt,
    expiresAt,
    createdBy,
  }))
}

/** Whether a function's Service has the labels. */
async function labelled(
  source: MeshSource,
  view: View,
  labelSelector: string,
): Promise<(key: string) => boolean> {
  if (view.name !== 'functions' && view.name !== 'instances')
    return fail(`${view.name} have no labels: leave -l out`, 2)
  if (source.client === null)
    return fail('-l needs a control plane: a mesh on this machine selects by name and namespace')
  const { called } = await import('./cluster-client.ts')
  const { items } = await called(source.client.list({ kind: 'Service', labelSelector }))
  const keys = new Set(items.map(({ namespace, name }) => `${namespace}/${name}`))
  return (key) => keys.has(key)
}

/** A resource of a control plane, as it was asked for. */
export interface Item {
  kind: string
  namespace: string
  name: string
  resourceVersion: string
  generation: bigint
  /** JSON. */
  manifest: string
}

/** What a table shows of a resource. */
export const ITEM_COLUMNS = ['namespace', 'name', 'generation', 'resourceVersion']

export function itemRow({ namespace, name, generation, resourceVersion }: Item): Row {
  return { namespace, name, generation: String(generation), resourceVersion }
}

/** The resources of a kind that are meant. */
export async function selectResources(
  source: MeshSource,
  kind: string,
  { name, namespace, selector }: Selection,
): Promise<Item[]> {
  const client =
    source.client ??
    fail(
      `manifests of kind ${kind} are kept by a control plane; those of a mesh on this machine are the files in its folder (policies: mayfly get policies)`,
    )
  const { called } = await import('./cluster-client.ts')
  const { space, own } = splitName(name, namespace)
  const query = { kind, namespace: space ?? '', name: own ?? '', labelSelector: selector ?? '' }
  return (await called(client.list(query))).items
}

/** The one resource that is meant; ends the command where there is none, or several. */
export async function oneResource(
  source: MeshSource,
  kind: string,
  name: string,
  namespace?: string,
): Promise<Item> {
  const items = await selectResources(source, kind, { name, ...(namespace !== undefined && { namespace }) })
  if (items.length === 1) return items[0]!
  if (items.length === 0) return fail(`there is no ${kind} ${name}${inNamespace(namespace)}`)
  const places = items.map((item) => `${item.namespace}/${item.name}`).join(', ')
  return fail(`${name} is in several namespaces: write one of ${places}, or -n NAMESPACE`)
}

/** "KIND/NAME" or "KIND", "NAME": what the arguments of a command name. */
export function splitTarget(word: string, name: string | undefined): { word: string; name?: string } {
  if (name !== undefined) return { word, name }
  const slash = word.indexOf('/')
  if (slash < 0) return { word }
  return { word: word.slice(0, slash), name: word.slice(slash + 1) }
}

function splitName(name: string | undefined, namespace: string | undefined) {
  if (name === undefined || !name.includes('/')) return { space: namespace, own: name }
  const [space, own] = name.split('/', 2)
  if (namespace !== undefined && namespace !== space)
    fail(`${name} names another namespace than -n ${namespace}`, 2)
  return { space, own }
}

function inNamespace(namespace: string | undefined): string {
  return namespace === undefined ? '' : ` in namespace ${namespace}`
}
