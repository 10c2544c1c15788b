import type { Command } from 'commander'
import { CONFIG_OPTION, type MeshClient, meshClient, problemOf } from './cluster-client.ts'
import { deleteAll, type Named, writtenIn } from './delete-all.ts'
import { kindOf } from './kinds.ts'
import { clusterSource } from './mesh-source.ts'
import { fail } from './output.ts'
import { FILE_OPTION, readFiles } from './read-files.ts'
import { oneResource, type Selection, selectResources, splitTarget } from './selection.ts'

interface DeleteOptions {
  filename: string[]
  namespace?: string
  selector?: string
  all?: boolean
  dryRun?: boolean
  ignoreNotFound?: boolean
  config?: string
}

export function addDelete(program: Command): void {
  program
    .command('delete')
    .description('remove manifests, a node (its identity is taken back) or a credential')
    .argument('[kind]', 'a kind of manifests, node or credential; KIND/NAME is one of them')
    .argument('[name]', 'NAME or NAMESPACE/NAME')
    .option(...FILE_OPTION)
    .option('-n, --namespace <namespace>', 'where the name is')
    .option('-l, --selector <labels>', 'those of the kind that have these labels')
    .option('--all', 'all of the kind, in the namespace of -n or in all')
    .option('--dry-run', 'let the control plane judge it and change nothing')
    .option('--ignore-not-found', 'it is no failure if there is none')
    .option(...CONFIG_OPTION)
    .addHelpText('after', EXAMPLES)
    .action(remove)
}

const EXAMPLES = `
Examples:
  mayfly delete service shop/cart
  mayfly delete -f examples/shop
  mayfly delete authorizationpolicy -n shop --all --dry-run
  mayfly delete node n3
  mayfly delete credential anna`

async function remove(
  word: string | undefined,
  named: string | undefined,
  options: DeleteOptions,
): Promise<void> {
  const { filename, selector, all, namespace } = options
  if (filename.length > 0) {
    if (word !== undefined || selector !== undefined || all)
      fail('-f names what to delete: leave the kind, -l and --all out', 2)
    const client = await meshClient(options.config)
    return removeAll(client, writtenIn(await readFiles(filename)), options)
  }
  if (word === undefined) fail('say what to delete: KIND NAME, or -f FILE (mayfly delete --help)', 2)
  const target = splitTarget(word, named)
  const kind = kindOf(target.word)
  const several = selector !== undefined || all === true
  if ((target.name !== undefined) === several) fail('say which: a NAME, or -l LABELS, or --all', 2)
  const client = await meshClient(options.config)
  if (kind.type === 'view') {
    if (several || namespace !== undefined || options.dryRun)
      fail(`${kind.name} are deleted by their name alone: leave -n, -l, --all and --dry-run out`, 2)
    return removeView(client, kind.name, target.name!, options)
  }
  const source = clusterSource(client)
  if (!several && !options.ignoreNotFound) {
    const item = await oneResource(source, kind.name, target.name!, namespace)
    return removeAll(client, [item], options)
  }
  const selection: Selection = {
    ...(target.name !== undefined && { name: target.name }),
    ...(namespace !== undefined && { namespace }),
    ...(selector !== undefined && { selector }),
  }
  await removeAll(client, await selectResources(source, kind.name, selection), options)
}

async function removeView(
  client: MeshClient,
  view: string,
  name: string,
  { ignoreNotFound }: DeleteOptions,
): Promise<void> {
  const { Code, ConnectError } = await import('@connectrpc/connect')
  try {
    if (view === 'nodes') await client.deleteNode({ node: name })
    else if (view === 'credentials') await client.deleteCredential({ name })
    else return fail(`${view} come and go with functions: delete a manifest, a node or a credential`, 2)
  } catch (error) {
    if (ignoreNotFound && ConnectError.from(error).code === Code.NotFound) return
    return fail(await problemOf(error))
  }
  console.log(`${view === 'nodes' ? 'Node' : 'Credential'} ${name} deleted`)
}

async function removeAll(
  client: MeshClient,
  items: readonly Named[],
  { dryRun = false, ignoreNotFound = false }: DeleteOptions,
): Promise<void> {
  const problem = await deleteAll(client, items, { dryRun, ignoreNotFound }, ({ kind, namespace, name }) =>
    console.log(`${kind} ${namespace}/${name} deleted${dryRun ? ' (dry run)' : ''}`),
  )
  if (problem !== null) fail(problem)
}
