import { pause } from '../children.ts'
import { authorization, NAMESPACE } from '../manifests.ts'
import { RULES, TENANT } from '../workload.ts'
import type { Fleet, Learned } from './fleet.ts'
import type { Plane } from './plane.ts'

export type PolicyChanges = {
  /** Milliseconds from `apply` returning to the last node being told, 0 where that was before; for each change. */
  readonly lags: readonly number[]
  /** Milliseconds that `apply` took. */
  readonly applies: readonly number[]
  /** Changes a second that were in force by the time they were due, all together. */
  readonly perSecond: number
  /** Nodes that were told of a change. */
  readonly nodesTold: readonly number[]
  /** As `lags`, of the changes of the first seconds, in which the control plane's code is still being compiled. */
  readonly firstLags: readonly number[]
}

type Change = { key: string; sent: number; returned: number }

/** How often changes are sent, in milliseconds. */
const STEP_MS = 10
const LATE_MS = 3_000
/** How long the first seconds are. */
const FIRST_SECONDS = 3

/** Changes policies of functions in turn, so many a second whatever becomes of the earlier ones, each by a request of its own. */
export async function changePolicies(
  plane: Plane,
  fleet: Fleet,
  functions: number,
  perSecond: number,
  seconds: number,
): Promise<PolicyChanges> {
  const first = await changeSteadily(plane, fleet, functions, perSecond, FIRST_SECONDS)
  const { took, ...judged } = await changeSteadily(plane, fleet, functions, perSecond, seconds)
  return { ...judged, perSecond: (perSecond * seconds) / took, firstLags: first.lags }
}

async function changeSteadily(
  plane: Plane,
  fleet: Fleet,
  functions: number,
  perSecond: number,
  seconds: number,
) {
  await fleet.learned(null)
  const count = perSecond * seconds
  const begin = now()
  const changes: Promise<Change>[] = []
  while (changes.length < count) {
    const due = Math.min(count, Math.ceil(((now() - begin) / 1000) * perSecond))
    while (changes.length < due) changes.push(change(plane, changes.length, functions))
    await pause(STEP_MS)
  }
  const done = await Promise.all(changes)
  const took = (now() - begin) / 1000
  await pause(LATE_MS)
  return { ...judge(done, await fleet.learned(null)), took }
}

let serial = 0

async function change(plane: Plane, number: number, functions: number): Promise<Change> {
  const name = `f${number % functions}`
  const last = RULES.at(-1)!
  const rules = [
    ...RULES.slice(0, -1),
    { ...last, when: { header: 'x-tenant', values: [TENANT, `t${serial++}`] } },
  ]
  const sent = now()
  await plane.apply([authorization(name, rules)])
  return { key: `${NAMESPACE}/${name}`, sent, returned: now() }
}

function judge(
  changes: readonly Change[],
  learned: readonly Learned[],
): Omit<PolicyChanges, 'perSecond' | 'firstLags'> {
  const told = Map.groupBy(learned, ({ key }) => key)
  const byKey = Map.groupBy(changes, ({ key }) => key)
  const lags: number[] = []
  const nodesTold: number[] = []
  for (const [key, own] of byKey) {
    for (const [i, { sent, returned }] of own.entries()) {
      const next = own[i + 1]
      // Of two at once nodes may hear in one message; then the later one is looked at.
      if (next && next.sent <= returned) continue
      const until = next?.sent ?? Number.POSITIVE_INFINITY
      const after = (told.get(key) ?? []).filter(({ at }) => at >= sent && at < until)
      if (after.length === 0) throw new Error(`no node was told of a change of ${key}`)
      nodesTold.push(new Set(after.map(({ node }) => node)).size)
      lags.push(Math.max(0, Math.max(...after.map(({ at }) => at)) - returned))
    }
  }
  return { lags, nodesTold, applies: changes.map(({ sent, returned }) => returned - sent) }
}

/** The machine's monotonic clock, which the process of simulated nodes reads as well. In milliseconds. */
function now(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
