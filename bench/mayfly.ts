import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Child, type Children, hasEnded, pause, tail } from './children.ts'
import { writeManifests } from './manifests.ts'
import { commandLine, environment, processTree } from './process-tree.ts'

/** A mesh that `mayfly up` runs, as its ready file tells of it. */
export type Mesh = {
  readonly child: Child
  readonly gatewayPort: number
  /** The host name under which the gateway serves a function of the bench's namespace. */
  host(name: string): string
  /** Where a function of the bench's namespace calls others from. */
  egress(name: string): URL
  /** The processes of the mesh: all but those of functions. */
  processes(): number[]
  /** The engines among them. */
  engines(): number[]
  /** The engines of nodes that run functions, where the gateway is a node of its own. */
  nodeEngines(): number[]
  /** The processes of function instances. */
  instances(): number[]
}

type ReadyFile = { gateway: string; functions: Record<string, { host: string; egress: string }> }

const root = join(import.meta.dirname, '..')
const readySeconds = 60

/** Runs `mayfly up` on a folder with these manifests and waits until it takes traffic. */
export async function startMesh(
  children: Children,
  name: string,
  manifests: readonly object[],
  environmentToo: Readonly<Record<string, string>> = {},
  nodes = 1,
): Promise<Mesh> {
  const folder = writeManifests(join(children.folder, `${name}-manifests`), manifests)
  return startMeshOn(children, name, folder, environmentToo, nodes)
}

/** Runs `mayfly up` on a folder of manifests and waits until it takes traffic. */
export async function startMeshOn(
  children: Children,
  name: string,
  folder: string,
  environmentToo: Readonly<Record<string, string>> = {},
  nodes = 1,
): Promise<Mesh> {
  const readyFile = join(children.folder, `${name}-ready.json`)
  // An earlier mesh of that name has left its own.
  rmSync(readyFile, { force: true })
  const child = children.start(
    name,
    process.execPath,
    [
      join(root, 'bin', 'mayfly.mjs'),
      'up',
      folder,
      '--gateway',
      '127.0.0.1:0',
      '--metrics',
      '127.0.0.1:0',
      '--ready-file',
      readyFile,
      '--nodes',
      String(nodes),
      // Counts of an earlier bench would hold for this one.
      '--state',
      join(children.folder, `${name}-state`),
    ],
    { env: { ...process.env, ...environmentToo } },
  )
  const ready = await readyOf(child, readyFile)
  const entryOf = (functionName: string) => {
    const entry = ready.functions[`bench/${functionName}`]
    if (entry === undefined) throw new Error(`${readyFile} has no function bench/${functionName}`)
    return entry
  }
  return {
    child,
    gatewayPort: Number(new URL(ready.gateway).port),
    host: (functionName) => entryOf(functionName).host,
    egress: (functionName) => new URL(entryOf(functionName).egress),
    processes() {
      const functions = new Set(instancesIn(child.pid).flatMap(processTree))
      return processTree(child.pid).filter((pid) => !functions.has(pid))
    },
    engines: () => processTree(child.pid).filter(isEngine),
    nodeEngines: () => processTree(child.pid).filter(isEngineOfNode),
    instances: () => instancesIn(child.pid),
  }
}

async function readyOf(child: Child, file: string): Promise<ReadyFile> {
  const deadline = performance.now() + readySeconds * 1000
  while (!existsSync(file)) {
    if (hasEnded(child)) throw new Error(`mayfly up ended at once:\n${tail(child)}`)
    if (performance.now() > deadline)
      throw new Error(`mayfly up is not ready after ${readySeconds} s:\n${tail(child)}`)
    await pause(2)
  }
  return JSON.parse(readFileSync(file, 'utf8')) as ReadyFile
}

// Knative's contract puts K_SERVICE into a function's environment, and into no other process of the mesh.
function instancesIn(pid: number): number[] {
  const functions = processTree(pid).filter((member) => environment(member).K_SERVICE !== undefined)
  const children = new Set(functions.flatMap((member) => processTree(member).slice(1)))
  return functions.filter((member) => !children.has(member))
}

function isEngine(pid: number): boolean {
  return commandLine(pid).some((argument) => /(^|[/-])engine(-[a-z]+)*\.(ts|js|mjs)$/.test(argument))
}

function isEngineOfNode(pid: number): boolean {
  return isEngine(pid) && commandLine(pid).some((argument) => /^node-\d+-engine-/.test(argument))
}
