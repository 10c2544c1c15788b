import type { Command } from 'commander'
import type { FunctionSpec } from '../api/function-spec.ts'
import { allowPolicyYaml } from '../policy/allow-policy.ts'
import { askMesh } from './admin-client.ts'
import { chooseKey } from './function-name.ts'
import { loadFolder } from './load-folder.ts'
import { fail } from './output.ts'
import { MESH_OPTION } from './program.ts'

interface AllowOptions {
  file?: string
  mesh?: string
}

export function addAllow(program: Command): void {
  program
    .command('allow')
    .description('print the AuthorizationPolicy that permits one function to call another')
    .argument('<caller>', 'namespace/name, or the name alone')
    .argument('<callee>', 'namespace/name, or the name alone')
    .option('-f, --file <dir>', 'read the functions from a folder of manifests instead of the running mesh')
    .option(...MESH_OPTION)
    .addHelpText('after', '\nExample:\n  mayfly allow shop/cart shop/payment >> examples/shop/policies.yaml')
    .action(async (caller: string, callee: string, options: AllowOptions) => {
      const specs = options.file ? await specsOf(options.file) : null
      const [from, to] = [await find(caller, specs, options.mesh), await find(callee, specs, options.mesh)]
      process.stdout.write(`---\n${allowPolicyYaml(from, to)}`)
    })
}

async function specsOf(dir: string): Promise<FunctionSpec[]> {
  const loaded = await loadFolder([dir])
  if (!loaded.ok) fail(loaded.errors.join('\n'))
  return [...loaded.mesh.functions.values()].map(({ spec }) => spec)
}

async function find(
  name: string,
  specs: FunctionSpec[] | null,
  mesh: string | undefined,
): Promise<FunctionSpec> {
  if (specs) {
    const chosen = chooseKey(name, specs)
    if (!chosen.ok) fail(chosen.message)
    return specs.find(({ key }) => key === chosen.key)!
  }
  const functions = await askMesh<{ namespace: string; name: string }[]>(mesh, 'functions')
  if (!functions.ok) fail(`${functions.message}; or give the manifests with --file DIR`)
  const chosen = chooseKey(name, functions.value)
  if (!chosen.ok) fail(chosen.message)
  const described = await askMesh<{ spec: FunctionSpec }>(mesh, `describe/${chosen.key}`)
  if (!described.ok) fail(described.message)
  return described.value.spec
}
