import { join, resolve } from 'node:path'
import { NodeAgent } from '../control/nodes/node-agent.ts'
import { stayAttached } from '../control/nodes/node-client.ts'
import { createRuntime } from '../runtime/runtime.ts'
import { type IsolateOptions, isolationFor } from './isolate-option.ts'
import { nodeCapacity } from './node-capacity.ts'
import { joinCluster, NodeIdentity } from './node-identity.ts'
import { fail } from './output.ts'
import { parseAddress } from './parse-address.ts'
import { readPrestarted } from './prestarted-option.ts'
import { ALLOCATOR, startEnginesAhead } from './spawn-engine.ts'
import { stopOnSignal } from './stop-on-signal.ts'
import { version } from './version.ts'

export interface NodeCommandOptions extends IsolateOptions {
  server: string[]
  token?: string
  data: string
  name: string
  listen: string
  engines: string
  zone: string
  reserveCpu?: string
  reserveMemory?: string
  prestarted?: string
  gateway?: string
}

export async function runNode(options: NodeCommandOptions, isGateway: boolean): Promise<void> {
  const listen = parseAddress('--listen', options.listen)
  const gateway = isGateway ? parseAddress('--gateway', options.gateway!) : null
  if (!/^\d{1,3}$/.test(options.engines) || Number(options.engines) < 1)
    fail(`--engines ${options.engines}: expected a number from 1 on`, 2)
  for (const server of options.server)
    if (!URL.canParse(server) || !server.startsWith('https://'))
      fail(`--server ${server}: expected https://HOST:PORT`, 2)
  const capacity = nodeCapacity(options.reserveCpu ?? '0', options.reserveMemory ?? '0')
  if (!capacity.ok) fail(capacity.message, 2)
  Object.assign(process.env, ALLOCATOR)
  const file = join(resolve(options.data), 'node.json')
  const identity = await joined(file, options)
  // They start while the node attaches: after a death that is what its clients wait for.
  const ahead = startEnginesAhead('mesh', Number(options.engines), `${options.name}-engine`)
  const isolation = isGateway ? null : await isolationFor(options, notice)
  const prestarted = readPrestarted(options.prestarted ?? '0', isolation !== null, notice)
  const runtime = isGateway ? null : createRuntime({ keeperLost: notice, isolation, prestarted })
  const ended = new AbortController()
  const agent = new NodeAgent({
    plan: {
      name: options.name,
      gateway: isGateway,
      engines: Number(options.engines),
      spawn: ahead.spawn,
      runtime,
      host: listen.host,
      port: listen.port,
    },
    gateway,
    version: version(),
    zone: options.zone,
    cpus: capacity.cpus,
    memoryBytes: capacity.memoryBytes,
    notice,
    ready: (problem) => {
      if (problem !== null) fail(problem)
      console.log(`Node ${options.name} is ready.`)
    },
  })
  stopOnSignal(
    (signal) => notice(`${signal}: requests under way may end; again to end at once`),
    async () => {
      await agent.close(30_000)
      ahead.endRest()
      ended.abort()
      identity.close()
    },
  )
  await stayAttached(
    { servers: options.server, credential: () => identity.credential, agent, notice },
    ended.signal,
  )
}

async function joined(file: string, options: NodeCommandOptions): Promise<NodeIdentity> {
  const { token, server, name } = options
  if (token !== undefined) {
    const problem = await joinCluster(file, server, token, name)
    if (problem !== null) fail(problem)
  }
  const identity = NodeIdentity.open(file, server, notice)
  if (!identity.ok) fail(`${identity.message}: join with --token first`)
  return identity.identity
}

function notice(text: string): void {
  process.stderr.write(`mayfly: ${text}\n`)
}
