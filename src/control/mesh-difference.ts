import type { CompiledFunction, CompiledMesh } from './compile-mesh.ts'
import { meshSlice } from './mesh-slices.ts'

/** Whether what every engine is told of the mesh as a whole is another. */
export function meshChanged(before: CompiledMesh, after: CompiledMesh): boolean {
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
