import type { Command } from 'commander'
import { formatManifestError } from '../api/manifest-error.ts'
import { type ManifestFile, readManifests } from '../api/read-manifests.ts'
import type { Resource } from '../api/resource.ts'
import { type CompiledMesh, compileMesh } from '../control/compile-mesh.ts'
import { readManifestFolder } from '../control/manifest-folder.ts'
import { otherPolicies, whatIfReport, whatIfText } from '../control/whatif.ts'
import type { WhatIfAnswer } from '../dataplane/whatif.ts'
import { askMesh } from './admin-client.ts'
import { readProblem } from './load-folder.ts'
import { type ManifestBasis, readBasis } from './manifest-basis.ts'
import { fail } from './output.ts'
import { MESH_OPTION } from './program.ts'

interface WhatIfOptions {
  file: string[]
  delete: string[]
  output: string
  mesh?: string
}

/** Status of a command that found that verdicts change. */
const CHANGES = 3

export function addWhatIf(program: Command): void {
  const collect = (value: string, all: string[]) => [...all, value]
  program
    .command('whatif')
    .description(
      'judge the requests that the running mesh remembers by other manifests: which verdicts would change (status 3), or none (0)',
    )
    .argument(
      '[dir]',
      'the folder of the manifests that run, where it is not the one the mesh was started from',
    )
    .option(
      '-f, --file <file>',
      'manifests to add, or to put in place of those of the same name',
      collect,
      [],
    )
    .option('--delete <kind/name>', 'a resource to leave out: KIND/NAME or KIND/NAMESPACE/NAME', collect, [])
    .option('-o, --output <format>', 'text or json', 'text')
    .option(...MESH_OPTION)
    .addHelpText('after', EXAMPLES)
    .action(whatIf)
}

const EXAMPLES = `
Examples:
  mayfly whatif -f new-policy.yaml
  mayfly whatif --delete AuthorizationPolicy/shop/only-cart-charges -o json`

async function whatIf(dir: string | undefined, options: WhatIfOptions): Promise<void> {
  const { output, file, delete: deleted, mesh } = options
  if (!['text', 'json'].includes(output)) fail(`-o ${output}: expected text or json`, 2)
  if (file.length + deleted.length === 0)
    fail('say what is to be otherwise: -f FILE or --delete KIND/NAME', 2)
  const basis = await readBasis(dir, mesh)
  const running = compiled(basis.resources, basis.overrides)
  const next = compiled(await changedResources(basis, file, deleted), basis.overrides)
  await checkThatItRuns(running, mesh)
  const { changed, removed } = otherPolicies(running, next)
  const other = {
    changed: changed.map(({ key, policy }) => ({ key, policy: policy.toString('base64') })),
    removed,
  }
  const answer = await askMesh<{ asked: number; answers: WhatIfAnswer[] }>(mesh, 'whatif', other)
  if (!answer.ok) fail(answer.message)
  const { asked, answers } = answer.value
  const report = whatIfReport(running, next, answers, asked)
  const what = [...file, ...deleted.map((name) => `${name} deleted`)].join(', ')
  console.log(output === 'json' ? JSON.stringify(report, null, 2) : whatIfText(report, what))
  if (report.changed > 0) process.exitCode = CHANGES
}

function compiled(resources: readonly Resource[], overrides: ManifestBasis['overrides']): CompiledMesh {
  const result = compileMesh(resources, overrides)
  return result.ok ? result.mesh : fail(result.errors.map(formatManifestError).join('\n'))
}

/** The basis without what is deleted or written anew, and what is written anew. */
async function changedResources(
  { resources }: ManifestBasis,
  paths: readonly string[],
  deleted: readonly string[],
): Promise<Resource[]> {
  const files: ManifestFile[] = []
  for (const path of paths) {
    try {
      files.push(...(await readManifestFolder(path)))
    } catch (error) {
      fail(readProblem(path, error as NodeJS.ErrnoException))
    }
  }
  const left = without(resources, deleted)
  const beside = (read: readonly Resource[]) => {
    const anew = new Set(read.map(nameOf))
    // A mesh has one MeshConfig, whatever its name.
    const config = read.some(({ kind }) => kind === 'MeshConfig')
    return left.filter((one) => !anew.has(nameOf(one)) && !(config && one.kind === 'MeshConfig'))
  }
  const read = readManifests(files, beside)
  if (!read.ok) fail(read.errors.map(formatManifestError).join('\n'))
  return [...beside(read.resources), ...read.resources]
}

function without(resources: readonly Resource[], deleted: readonly string[]): Resource[] {
  let left = [...resources]
  for (const name of deleted) {
    const parts = name.split('/')
    if (parts.length < 2 || parts.length > 3) {
      fail(`--delete ${name}: expected KIND/NAME or KIND/NAMESPACE/NAME`, 2)
    }
    const found = left.filter((one) => nameOf(one) === name || shortName(one) === name)
    if (found.length === 0) fail(`--delete ${name}: there is no such resource`)
    if (found.length > 1) fail(`--delete ${name}: there are several: ${found.map(nameOf).join(', ')}`)
    left = left.filter((one) => one !== found[0])
  }
  return left
}

function nameOf({ kind, metadata }: Resource): string {
  return `${kind}/${metadata.namespace}/${metadata.name}`
}

function shortName({ kind, metadata }: Resource): string {
  return `${kind}/${metadata.name}`
}

/** Rules are named by the manifests, so these must be the ones by which the mesh judges. */
async function checkThatItRuns(running: CompiledMesh, mesh: string | undefined): Promise<void> {
  const answer = await askMesh<{ namespace: string; name: string; policyHash: string }[]>(mesh, 'functions')
  if (!answer.ok) fail(answer.message)
  const hashes = new Map(answer.value.map((one) => [`${one.namespace}/${one.name}`, one.policyHash]))
  const differ = [...new Set([...hashes.keys(), ...running.functions.keys()])].filter(
    (key) => hashes.get(key) !== running.functions.get(key)?.policy.hash,
  )
  if (differ.length === 0) return
  const names = differ.slice(0, 5).join(', ')
  fail(
    `these are not the manifests that run: the policies of ${names} differ; say which ones with DIR, or wait until the mesh has applied them`,
  )
}
