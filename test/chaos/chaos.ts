import { type Bounds, check, type Verdict } from './check.ts'
import { Cluster, CONCURRENCY, QUOTA } from './cluster.ts'
import { faultsOf, inflict } from './faults.ts'
import { emptyHistory, type History } from './history.ts'
import { load, read, wait } from './load.ts'

export interface ChaosOptions {
  seed: number
  durationMs: number
  /** Within this time everything works again, in milliseconds. */
  recoveryMs: number
  /** From a disturbance to the next fault: longer than recovery, or not all of what it leaves behind shows. */
  quietMs: number
  /** Only faults whose name contains this. */
  only: string
  progress(text: string): void
}

export interface ChaosResult extends Verdict {
  history: History
  skipped: string[]
  /** What the roles have said. */
  log: string
}

/** Before the first fault, and about as long after one that disturbs nothing. */
const QUIET_MS = 1_500

/** Does to a cluster what a seed says, and checks what was seen meanwhile. */
export async function chaos({
  seed,
  durationMs,
  recoveryMs,
  quietMs,
  only,
  progress,
}: ChaosOptions): Promise<ChaosResult> {
  const random = generator(seed)
  const cluster = await Cluster.start()
  try {
    const { faults, skipped } = faultsOf(cluster)
    for (const text of skipped) progress(text)
    const chosen = faults.filter(({ name }) => name.includes(only))
    const history = emptyHistory()
    const stop = new AbortController()
    const loaded = load(cluster, history, stop.signal, generator(seed + 1))
    await wait(QUIET_MS)
    const deadline = performance.now() + durationMs
    // All of them in a new order each round: a short run tries different ones than the next.
    for (let round = shuffled(chosen, random); performance.now() < deadline; ) {
      const fault = round.pop()!
      if (round.length === 0) round = shuffled(chosen, random)
      progress(fault.name)
      const before = history.faults.length
      await inflict(fault, cluster, history, random)
      const disturbed = history.faults.slice(before).some(({ disturbs }) => disturbs)
      await wait(disturbed ? quietMs : random() * 2 * QUIET_MS)
    }
    await wait(recoveryMs)
    stop.abort()
    await loaded
    const remains = await truth(cluster, history, recoveryMs)
    history.functions.push(...cluster.functionRecords())
    const concurrency = { 'chaos/steady': CONCURRENCY }
    const bounds: Bounds = { recoveryMs, concurrency, quota: QUOTA }
    const { violations, figures } = check(history, bounds)
    return {
      history,
      skipped,
      log: cluster.log(),
      figures,
      violations: [...violations, ...remains, ...cluster.surprises],
    }
  } finally {
    await cluster.close()
  }
}

/** In the end the control plane knows of the instances that live, and no others. */
async function truth(cluster: Cluster, history: History, recoveryMs: number): Promise<string[]> {
  const violations: string[] = []
  if (!(await read(cluster, history))) violations.push('in the end the control plane does not answer')
  let told = ''
  const agrees = async () => {
    const rows = await cluster.status<{ id: string; state: string }[]>('instances')
    const known = rows.map(({ id }) => id).toSorted()
    const living = cluster.instances()
    told = `the control plane knows of ${known.join(', ')}; these live: ${living.join(', ')}`
    return JSON.stringify(known) === JSON.stringify(living)
  }
  await cluster
    .until('it knows the truth', agrees, recoveryMs)
    .catch(() => violations.push(`in the end ${told}`))
  return violations
}

/** Mulberry32: the same numbers from 0 to 1 for the same seed. */
function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function shuffled<T>(all: readonly T[], random: () => number): T[] {
  const left = [...all]
  const mixed: T[] = []
  while (left.length > 0) mixed.push(...left.splice(Math.floor(random() * left.length), 1))
  return mixed
}
