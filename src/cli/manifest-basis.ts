import { relative } from 'node:path'
import { formatManifestError } from '../api/manifest-error.ts'
import type { MeshConfigSpec } from '../api/mesh-config.ts'
import { readManifests } from '../api/read-manifests.ts'
import type { Resource } from '../api/resource.ts'
import { readManifestFolder } from '../control/manifest-folder.ts'
import { askMesh } from './admin-client.ts'
import { readProblem } from './load-folder.ts'
import { fail } from './output.ts'

/** The manifests that a question is about: those of a folder, or those that a running mesh was started from. */
export interface ManifestBasis {
  resources: readonly Resource[]
  /** What stands above MeshConfig, by the command line of `mayfly up`. */
  overrides: Partial<MeshConfigSpec>
}

/** Reads the folder `dir`, or that of the running mesh. Ends the command where that cannot be done. */
export async function readBasis(dir: string | undefined, mesh: string | undefined): Promise<ManifestBasis> {
  if (dir !== undefined) return { resources: await readFolder(dir), overrides: {} }
  const answer = await askMesh<{ manifests: string; overrides: Partial<MeshConfigSpec> }>(mesh, 'mesh')
  if (!answer.ok) fail(`${answer.message}; or name a folder of manifests`)
  const { manifests, overrides } = answer.value
  return { resources: await readFolder(shown(manifests)), overrides }
}

async function readFolder(dir: string): Promise<Resource[]> {
  try {
    const files = await readManifestFolder(dir)
    if (files.length === 0) fail(`${dir}: no .yaml or .yml file: expected a folder of manifests`)
    const read = readManifests(files)
    return read.ok ? read.resources : fail(read.errors.map(formatManifestError).join('\n'))
  } catch (error) {
    return fail(readProblem(dir, error as NodeJS.ErrnoException))
  }
}

/** As short as it may be. */
function shown(path: string): string {
  const from = relative(process.cwd(), path) || '.'
  return from.length < path.length && !from.startsWith('../..') ? from : path
}
