import type { Explanation } from '../control/explain.ts'
import type { LogLine } from '../runtime/log-book.ts'
import { askMesh, followMesh } from './admin-client.ts'
import type { AdminAnswer } from './admin-socket.ts'
import { CONFIG_OPTION, type MeshClient, meshClient, problemOf } from './cluster-client.ts'
import { fail } from './output.ts'
import { MESH_OPTION } from './program.ts'

/** Which mesh a command asks; both are what the user typed. */
export interface SourceOptions {
  mesh?: string
  config?: string
}

/** The options of every command that asks a mesh, whether it runs on this machine or on several. */
export const SOURCE_OPTIONS = [CONFIG_OPTION, MESH_OPTION] as const

/** For the end of a command's help. */
export const SOURCE_HELP = `
Asks the control plane that --config or MAYFLY_CONFIG names, and where neither is there, or with --mesh, the mesh of
\`mayfly up\` on this machine.`

/** What a mesh can be asked, wherever it runs. */
export interface MeshSource {
  /** null: the mesh runs on this machine, without a control plane of its own. */
  readonly client: MeshClient | null
  status<T>(what: string, name?: string): Promise<AdminAnswer<T>>
  explain(request: object): Promise<AdminAnswer<Explanation>>
  /** Lines of a function ('': of all); resolves when there are no more. `tail` -1: all that are kept. */
  logs(
    query: { function: string; follow: boolean; tail: number },
    line: (line: LogLine) => void,
  ): Promise<AdminAnswer<null>>
}

/** --config and MAYFLY_CONFIG mean a control plane, --mesh or none of them a mesh on this machine. */
export async function openSource({ mesh, config }: SourceOptions): Promise<MeshSource> {
  if (mesh !== undefined && config !== undefined)
    fail('--mesh means a mesh on this machine, --config one with a control plane: write one of them', 2)
  const isCluster = config !== undefined || (mesh === undefined && Boolean(process.env.MAYFLY_CONFIG))
  return isCluster ? clusterSource(await meshClient(config)) : localSource(mesh)
}

/** What was answered; what went wrong ends the command. */
export function answered<T>(answer: AdminAnswer<T>): T {
  return answer.ok ? answer.value : fail(answer.message)
}

function localSource(mesh: string | undefined): MeshSource {
  return {
    client: null,
    status: (what, name) =>
      askMesh(
        mesh,
        name === undefined ? what : `${what}/${name.split('/').map(encodeURIComponent).join('/')}`,
      ),
    explain: (request) => askMesh(mesh, 'explain', request),
    logs({ function: key, follow, tail }, line) {
      const query = new URLSearchParams()
      if (key !== '') query.set('function', key)
      if (follow) query.set('follow', 'true')
      if (tail >= 0) query.set('tail', String(tail))
      return followMesh(mesh, `logs?${query}`, line)
    },
  }
}

/** The mesh of a control plane. */
export function clusterSource(client: MeshClient): MeshSource {
  return {
    client,
    status: <T>(what: string, name = '') => parsed<T>(client.status({ what, name })),
    explain: (request) => parsed(client.explain({ request: JSON.stringify(request) })),
    async logs(query, line) {
      try {
        for await (const { json } of client.logs(query)) line(JSON.parse(json) as LogLine)
        return { ok: true, value: null }
      } catch (error) {
        return { ok: false, message: await problemOf(error) }
      }
    },
  }
}

async function parsed<T>(call: Promise<{ json: string }>): Promise<AdminAnswer<T>> {
  try {
    return { ok: true, value: JSON.parse((await call).json) as T }
  } catch (error) {
    return { ok: false, message: await problemOf(error) }
  }
}
