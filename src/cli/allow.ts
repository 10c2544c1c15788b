import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { FunctionSpec } from '../api/function-spec.ts'
import type { CompiledMesh } from '../control/compile-mesh.ts'
import { type ExplainedRequest, type Explanation, explainRequest } from '../control/explain.ts'
import { ipBytes } from '../dataplane/ip-bytes.ts'
import { loadSidecars } from '../dataplane/sidecar.ts'
import { allowPolicyYaml } from '../policy/allow-policy.ts'
import { askMesh } from './admin-client.ts'
import { chooseKey } from './function-name.ts'
import { loadFolder } from './load-folder.ts'
import { fail } from './output.ts'
import { MESH_OPTION } from './program.ts'
import { sidecarWasm } from './sidecar-wasm.ts'

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
    .action(allow)
}

async function allow(caller: string, callee: string, options: AllowOptions): Promise<void> {
  const mesh = options.file ? await loadedMesh(options.file) : null
  const specs = mesh && [...mesh.functions.values()].map(({ spec }) => spec)
  const [from, to] = [await find(caller, specs, options.mesh), await find(callee, specs, options.mesh)]
  process.stdout.write(`---\n${allowPolicyYaml(from, to)}`)
  const call = { to: to.key, from: from.key, method: 'GET', path: '/', headers: [] }
  const explanation = mesh ? explainByFolder(mesh, call) : await explainByMesh(options.mesh, call)
  for (const { policy, verdict, rule } of explanation.verdicts) {
    if (verdict !== 'deny') continue
    // An AuthorizationPolicy of the callee's does not widen what the caller's Sidecar lets it know.
    if (policy === 'sidecar') {
      const host = `${to.namespace}/${to.name}.${to.namespace}.svc.cluster.local`
      warn(`${explanation.text.trim()}; add ${host} to those hosts`)
    } else if (rule !== null) warn(`DENY policies stand above ALLOW policies, and one denies GET /: ${rule}`)
  }
}

function warn(why: string): void {
  process.stderr.write(`mayfly: this alone does not permit the call: ${why}\n`)
}

async function loadedMesh(dir: string): Promise<CompiledMesh> {
  const loaded = await loadFolder([dir])
  return loaded.ok ? loaded.mesh : fail(loaded.errors.join('\n'))
}

type Call = Omit<ExplainedRequest, 'sourceIp'>

function explainByFolder(mesh: CompiledMesh, call: Call): Explanation {
  const sidecars = loadSidecars(readFileSync(sidecarWasm()))
  return explainRequest(mesh, sidecars, { ...call, sourceIp: ipBytes('127.0.0.1') })
}

async function explainByMesh(mesh: string | undefined, call: Call): Promise<Explanation> {
  const answer = await askMesh<Explanation>(mesh, 'explain', { ...call, sourceIp: '127.0.0.1' })
  return answer.ok ? answer.value : fail(answer.message)
}

async function find(
  name: string,
  specs: readonly FunctionSpec[] | null,
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
