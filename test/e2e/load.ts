// Load on a mesh: many requests at once, or as fast as they are answered until they are stopped.

import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { TestMesh } from '../start-mesh.ts'
import { type Answer, Client } from './cluster.ts'

/** A request over a connection of its own, so that any engine may get it. */
export async function fresh(mesh: TestMesh, name: string, path = '/'): Promise<Answer> {
  const client = new Client(mesh)
  try {
    return await client.send({ path, headers: { host: `${name}.test.localhost`, connection: 'close' } })
  } finally {
    client.close()
  }
}

const BROKEN_PAUSE_MS = 5

/** `count` requests at once. */
export function burst(count: number, ask: () => Promise<Answer>): Promise<Answer[]> {
  return Promise.all(Array.from({ length: count }, ask))
}

export type Outcome =
  | { kind: 'answered'; askedAt: number; answeredAt: number; status: number; body: string }
  /** The connection broke before an answer was there. */
  | { kind: 'broken'; askedAt: number; answeredAt: number; error: string }

export interface Load {
  readonly outcomes: readonly Outcome[]
  /** Lets the requests under way end. */
  stop(): Promise<readonly Outcome[]>
}

/** Keeps `width` requests under way, each over a kept-alive connection of its own, until it is stopped or the test ends. */
export function load(t: TestContext, mesh: TestMesh, name: string, width: number): Load {
  const outcomes: Outcome[] = []
  let enough = false
  const run = async () => {
    const client = new Client(mesh)
    while (!enough) {
      const askedAt = performance.now()
      const outcome = await client.get('/', name).then(
        ({ status, body }) => ({ kind: 'answered' as const, status, body }),
        (error: Error) => ({ kind: 'broken' as const, error: error.message }),
      )
      outcomes.push({ ...outcome, askedAt, answeredAt: performance.now() })
      // Where nobody listens, requests fail as fast as they are made.
      if (outcome.kind === 'broken') await delay(BROKEN_PAUSE_MS)
    }
    client.close()
  }
  const runs = Promise.all(Array.from({ length: width }, run))
  const stop = async () => {
    enough = true
    await runs
    return outcomes
  }
  t.after(stop)
  return { outcomes, stop }
}
