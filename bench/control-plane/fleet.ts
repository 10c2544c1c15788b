import { join } from 'node:path'
import { type Child, type Children, hasEnded } from '../children.ts'
import type { TrafficReport } from './traffic.ts'

export type Joining = {
  readonly server: string
  /** Of the mesh: its gateway serves NAME.NAMESPACE.DOMAIN. */
  readonly domain: string
  /** Where the nodes' identities are kept. */
  readonly folder: string
  readonly nodes: readonly { name: string; token: string; gateway: boolean; engines: number }[]
}

export type ColdStarts = {
  /** Functions by "namespace/name", one request each; a name that comes again needs a further instance if requests are held. */
  readonly keys: readonly string[]
  readonly underWay: number
  /** Requests stay in flight. */
  readonly hold: boolean
}

/** Milliseconds from each request to the slot that it was given, and how long all took. */
export type Started = { readonly latencies: readonly number[]; readonly seconds: number }

export type Learned = { readonly node: string; readonly key: string; readonly at: number }

/** What the bench has the process of simulated nodes do. */
export type FleetCalls = {
  /** Resolves when all have joined and were told what there is. */
  join(joining: Joining): Promise<void>
  /** What went over their streams since the last call. */
  traffic(argument: null): Promise<TrafficReport>
  /** Which slices came in since the last call. */
  learned(argument: null): Promise<Learned[]>
  coldStarts(starts: ColdStarts): Promise<Started>
  state(argument: null): Promise<{
    /** Instances that became ready, ever. */
    instances: number
    /** How many functions each node's engines know. */
    known: Record<string, number>
  }>
}

/** The simulated nodes, in a process of their own. */
export type Fleet = FleetCalls & { readonly child: Child }

export function startFleet(children: Children): Fleet {
  const script = join(import.meta.dirname, 'fleet-process.ts')
  const child = children.start('fleet', process.execPath, ['--no-warnings', script], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  let serial = 0
  child.process.on(
    'message',
    ({ id, result, problem }: { id: number; result: unknown; problem?: string }) => {
      const call = waiting.get(id)
      waiting.delete(id)
      if (problem === undefined) call?.resolve(result)
      else call?.reject(new Error(problem))
    },
  )
  child.process.on('exit', () => {
    for (const call of waiting.values()) call.reject(new Error(`the simulated nodes have ended`))
  })
  const call =
    (name: keyof FleetCalls) =>
    (argument: unknown): Promise<never> => {
      if (hasEnded(child)) return Promise.reject(new Error('the simulated nodes have ended'))
      const answer = Promise.withResolvers<unknown>()
      const id = serial++
      waiting.set(id, answer)
      child.process.send({ id, call: name, argument })
      return answer.promise as Promise<never>
    }
  return {
    child,
    join: call('join'),
    traffic: call('traffic'),
    learned: call('learned'),
    coldStarts: call('coldStarts'),
    state: call('state'),
  }
}
