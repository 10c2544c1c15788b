import { formatManifestError } from '../api/manifest-error.ts'
import type { MeshConfigSpec } from '../api/mesh-config.ts'
import { readManifests } from '../api/read-manifests.ts'
import { type CompiledMesh, compileMesh } from '../control/compile-mesh.ts'
import { readManifestFolder } from '../control/manifest-folder.ts'

export type LoadedFolder = { ok: true; mesh: CompiledMesh } | { ok: false; errors: string[] }

/** Reads, checks and compiles the manifests under `paths`, all or nothing; each error is one line. */
export async function loadFolder(
  paths: readonly string[],
  overrides: Partial<MeshConfigSpec> = {},
): Promise<LoadedFolder> {
  const files: Awaited<ReturnType<typeof readManifestFolder>> = []
  for (const path of paths) {
    try {
      files.push(...(await readManifestFolder(path)))
    } catch (error) {
      return { ok: false, errors: [readProblem(path, error as NodeJS.ErrnoException)] }
    }
  }
  if (files.length === 0) {
    return {
      ok: false,
      errors: [`${paths.join(', ')}: no .yaml or .yml file: expected a folder of manifests`],
    }
  }
  const read = readManifests(files)
  if (!read.ok) return { ok: false, errors: read.errors.map(formatManifestError) }
  const compiled = compileMesh(read.resources, overrides)
  return compiled.ok ? compiled : { ok: false, errors: compiled.errors.map(formatManifestError) }
}

function readProblem(path: string, error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return `${path}: there is no such file or folder`
  return `${path}: ${error.message}`
}
