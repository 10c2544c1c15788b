import type { MeshConfigSpec } from '../api/mesh-config.ts'
import type { AdminHandlers } from '../control/admin-server.ts'
import {
  allInstanceStatuses,
  functionStatus,
  instanceStatuses,
  policyStatuses,
} from '../control/mesh-status.ts'
import { pastDecision } from '../control/past-decision.ts'
import type { ReviewedDecision } from '../dataplane/decision-review.ts'
import { explainForMesh } from './explain-for-mesh.ts'
import { meshUsage } from './mesh-usage.ts'
import { localNodes } from './node-rows.ts'
import type { RunningMesh } from './running-mesh.ts'
import { localUsage } from './usage-sample.ts'

/** What the command line may ask of a running mesh, which was started from `basis`. */
export function adminHandlers(
  running: RunningMesh,
  basis: { manifests: string; overrides: Partial<MeshConfigSpec> },
): AdminHandlers {
  const { mesh, runtime } = running
  return {
    logs: runtime.logs,
    functions: () => [...mesh.compiled.functions.values()].map((fn) => functionStatus(mesh, fn)),
    instances: () => allInstanceStatuses(mesh),
    policies: () => policyStatuses(mesh),
    mesh: () => ({ gateway: mesh.gateway, pid: process.pid, config: mesh.compiled.config, ...basis }),
    usage: () => meshUsage(running),
    sample: () => localUsage(mesh),
    nodes: () => localNodes(mesh),
    identities: () => mesh.identities(),
    newEpoch: async () => ({ epoch: await mesh.beginEpoch() }),
    async engines() {
      const counters = new Map(
        (await mesh.query({ kind: 'counters' })).map(({ engine, answer }) => [engine, answer]),
      )
      return mesh
        .engines()
        .map(({ engine, pid }) => ({ engine, pid, counters: counters.get(engine) ?? null }))
    },
    describe(key) {
      const compiled = mesh.compiled.functions.get(key)
      if (!compiled) return null
      return {
        status: functionStatus(mesh, compiled),
        instances: instanceStatuses(mesh, key),
        spec: compiled.spec,
        rules: compiled.policy.rules,
      }
    },
    async decision(requestId) {
      const answers = await mesh.query({ kind: 'decision', requestId })
      return pastDecision(
        mesh.compiled,
        answers.flatMap(({ engine, answer }) =>
          (answer as ReviewedDecision[]).map((decision) => ({ engine, decision })),
        ),
      )
    },
    async whatIf(request) {
      const { changed, removed } = request as {
        changed: { key: string; policy: string }[]
        removed: string[]
      }
      const other = {
        changed: changed.map(({ key, policy }) => ({ key, policy: Buffer.from(policy, 'base64') })),
        removed,
      }
      const asked = mesh.engines().length
      const answers = (await mesh.query({ kind: 'whatif', other })).map(({ answer }) => answer)
      return { asked, answers }
    },
    explain: (request) => explainForMesh(mesh, request),
  }
}
