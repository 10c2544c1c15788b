import { authorization, NAMESPACE, service } from '../manifests.ts'
import { RULES } from '../workload.ts'
import type { Fleet } from './fleet.ts'
import type { Plane } from './plane.ts'

/** How large a simulated mesh is. */
export type MeshSize = { readonly functions: number; readonly nodes: number }

const GATEWAYS = 2
const ENGINES = 2

export function sizeText({ functions, nodes }: MeshSize): string {
  return `${functions} functions, ${nodes} nodes`
}

export function functionKey(index: number): string {
  return `${NAMESPACE}/f${index}`
}

/** Functions with ten authorization rules each, at zero; one request at a time for each instance. */
export function functionManifests(first: number, count: number): object[] {
  return Array.from({ length: count }, (_, i) => `f${first + i}`).flatMap((name) => [
    quickToRest(service(name, 'file:/srv/function.ts')),
    authorization(name, RULES),
  ])
}

/** Nodes for functions and two gateways join; they are told what there is. */
export async function joinNodes(plane: Plane, fleet: Fleet, folder: string, count: number): Promise<void> {
  const plans = [
    ...Array.from({ length: count }, (_, i) => ({ name: `node-${i}`, gateway: false, engines: 1 })),
    ...Array.from({ length: GATEWAYS }, (_, i) => ({
      name: `gateway-${i}`,
      gateway: true,
      engines: ENGINES,
    })),
  ]
  const nodes: { name: string; gateway: boolean; engines: number; token: string }[] = []
  for (const plan of plans)
    nodes.push({ ...plan, token: await plane.token(plan.gateway ? 'gateway' : 'node') })
  await fleet.join({ server: plane.server, domain: 'localhost', folder, nodes })
}

function quickToRest(manifest: object): object {
  const made = structuredClone(manifest) as {
    spec: { template: { metadata: { annotations: Record<string, string> }; spec: Record<string, unknown> } }
  }
  // The shortest that Knative allows, so that functions come to rest within the bench's time.
  made.spec.template.metadata.annotations['autoscaling.knative.dev/window'] = '6s'
  made.spec.template.spec.containerConcurrency = 1
  return made
}
