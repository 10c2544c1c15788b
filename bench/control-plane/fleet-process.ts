// All nodes of a simulated mesh, in one process of their own; the bench speaks with it over IPC.

import { createServer } from 'node:net'
import { readCredential } from '../../src/cli/cluster-credential.ts'
import { joinCluster } from '../../src/cli/node-identity.ts'
import type { ColdStarts, FleetCalls, Joining, Learned, Started } from './fleet.ts'
import { SimulatedNode } from './simulated-node.ts'
import { Traffic } from './traffic.ts'

const JOINS_AT_ONCE = 8

const traffic = new Traffic()
const nodes: SimulatedNode[] = []
let learned: Learned[] = []
let instances = 0

// Nobody calls the nodes: their address only has to be one.
const address = createServer((socket) => socket.destroy())

const calls: FleetCalls = {
  async join({ server, domain, folder, nodes: joining }: Joining) {
    const port = await listening()
    const waiting = [...joining]
    const joinNext = async (): Promise<void> => {
      const one = waiting.shift()
      if (!one) return
      const file = `${folder}/${one.name}.json`
      const problem = await joinCluster(file, [server], one.token, one.name)
      if (problem !== null) throw new Error(problem)
      const read = readCredential(file)
      if (!read.ok) throw new Error(read.message)
      const { name, gateway, engines } = one
      const plan = { name, gateway, engines, credential: read.credential }
      const node = new SimulatedNode(server, domain, port, plan, traffic, {
        learned: (at, key, when) => learned.push({ node: at, key, at: when }),
        ready: () => {
          instances++
        },
        // What is measured without all of its nodes means nothing.
        problem: (text) => {
          throw new Error(text)
        },
      })
      nodes.push(node)
      await node.synced
      return joinNext()
    }
    await Promise.all(Array.from({ length: JOINS_AT_ONCE }, joinNext))
  },

  async traffic() {
    return traffic.take()
  },

  async learned() {
    const taken = learned
    learned = []
    return taken
  },

  coldStarts,

  async state() {
    return {
      instances,
      known: Object.fromEntries(nodes.map((node) => [node.name, node.functions])),
    }
  },
}

/** So many starts under way at a time, through the engines of the gateways in turn. */
async function coldStarts({ keys, underWay, hold }: ColdStarts): Promise<Started> {
  const engines = nodes.filter(({ name }) => name.startsWith('gateway')).flatMap((node) => node.engines)
  const latencies: number[] = []
  const begin = performance.now()
  let next = 0
  await new Promise<void>((resolve) => {
    let left = keys.length
    const startNext = () => {
      if (next >= keys.length) return
      const key = keys[next]!
      // A function's requests come in at one engine, since which one has a slot is not what is measured.
      const engine = engines[numberOf(key) % engines.length]!
      next++
      const asked = performance.now()
      engine.request(key, () => {
        latencies.push(performance.now() - asked)
        if (!hold) engine.release(key)
        if (--left === 0) resolve()
        // Not from within a message that is being read.
        else setImmediate(startNext)
      })
    }
    for (let i = 0; i < underWay; i++) startNext()
  })
  return { latencies, seconds: (performance.now() - begin) / 1000 }
}

function numberOf(key: string): number {
  return Number(/\d+$/.exec(key)?.[0] ?? 0)
}

function listening(): Promise<number> {
  return new Promise((resolve) => {
    const { port } = (address.address() as { port: number } | null) ?? {}
    if (port !== undefined) resolve(port)
    else address.listen(0, '127.0.0.1', () => resolve((address.address() as { port: number }).port))
  })
}

process.on('disconnect', () => process.exit(0))
process.on(
  'message',
  async ({ id, call, argument }: { id: number; call: keyof FleetCalls; argument: never }) => {
    try {
      process.send!({ id, result: await calls[call](argument) })
    } catch (error) {
      process.send!({ id, problem: (error as Error).stack })
    }
  },
)
