import type { CompiledFunction, CompiledMesh } from './compile-mesh.ts'
import { meshSlice } from './mesh-slices.ts'

/** What of a mesh's functions is another than it was. */
export interface MeshDifference {
  /** Than in this one. */
  since: CompiledMesh
  upsert: readonly CompiledFunction[]
  /** Keys of those that are gone. */
  remove: readonly string[]
}

/** Looks at all functions. */
export function meshDifference(before: CompiledMesh, after: CompiledMesh): MeshDifference {
  const renamed = before.config.domain !== after.config.domain
  return {
    since: before,
    upsert: [...after.functions.values()].filter(
      (fn) => renamed || functionChanged(before.functions.get(fn.spec.key), fn),
    ),
    remove: [...before.functions.keys()].filter((key) => !after.functions.has(key)),
  }
}

/** Whether what every engine is told of the mesh as a whole is another. */
export function meshChanged(before: CompiledMesh, after: CompiledMesh): boolean {
  if (before.config === after.config && before.gateway === after.gateway) return false
  const said = (mesh: CompiledMesh) =>
    JSON.stringify({ ...meshSlice(mesh), gatewayPolicy: mesh.gateway.hash })
  return said(before) !== said(after)
}

/** Where it stands in its file does not matter. */
export function functionChanged(before: CompiledFunction | undefined, after: CompiledFunction): boolean {
  if (before === after) return false
  const said = ({ policy, spec, ...rest }: CompiledFunction) =>
    JSON.stringify({ ...rest, policy: policy.hash, spec: { ...spec, source: null } })
  return !before || said(before) !== said(after)
}
