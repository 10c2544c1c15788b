import { resolve } from 'node:path'
import { formatManifestError } from '../api/manifest-error.ts'
import type { MeshConfigSpec } from '../api/mesh-config.ts'
import { readManifests } from '../api/read-manifests.ts'
import { ofKind } from '../api/resource.ts'
import { type CompiledMesh, compileMesh } from '../control/compile-mesh.ts'
import { type ManifestFile, readManifestFolder } from '../control/manifest-folder.ts'
import { moduleFile } from '../control/user-modules.ts'

/** `modules` are the files of the modules that the manifests bring; absent where the manifests cannot be read. */
export type CompiledFiles = ({ ok: true; mesh: CompiledMesh } | { ok: false; errors: string[] }) & {
  modules?: string[]
}
export type LoadedFolder =
  | { ok: true; mesh: CompiledMesh; files: ManifestFile[]; modules?: string[] }
  | { ok: false; errors: string[] }

/** Reads, checks and compiles the manifests under `paths`, all or nothing; each error is one line. */
export async function loadFolder(
  paths: readonly string[],
  overrides: Partial<MeshConfigSpec> = {},
): Promise<LoadedFolder> {
  // A file that is named twice, itself and by its folder, is read once.
  const files = new Map<string, ManifestFile>()
  const errors: string[] = []
  for (const path of paths) {
    try {
      for (const file of await readManifestFolder(path)) files.set(resolve(file.path), file)
    } catch (error) {
      errors.push(readProblem(path, error as NodeJS.ErrnoException))
    }
  }
  if (errors.length > 0) {
    const read = readManifests([...files.values()])
    return { ok: false, errors: read.ok ? errors : [...errors, ...read.errors.map(formatManifestError)] }
  }
  const compiled = compileFiles(paths.join(', '), [...files.values()], overrides)
  return compiled.ok ? { ...compiled, files: [...files.values()] } : compiled
}

/** Checks and compiles manifests that were read from `where`. */
export function compileFiles(
  where: string,
  files: readonly ManifestFile[],
  overrides: Partial<MeshConfigSpec>,
): CompiledFiles {
  if (files.length === 0) {
    return { ok: false, errors: [`${where}: no .yaml or .yml file: expected a folder of manifests`] }
  }
  const read = readManifests(files)
  if (!read.ok) return { ok: false, errors: read.errors.map(formatManifestError) }
  const compiled = compileMesh(read.resources, overrides)
  const modules = ofKind(read.resources, 'WasmPolicy').map(moduleFile)
  if (compiled.ok) return { ...compiled, modules }
  return { ok: false, errors: compiled.errors.map(formatManifestError), modules }
}

export function readProblem(path: string, error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return `${error.path ?? path}: there is no such file or folder`
  if (error.code === 'EACCES') return `${error.path ?? path}: this user may not read it`
  return `${path}: ${error.message}`
}
