import type { ApplyRecord, FaultRecord, FunctionRecord, History, ListRecord } from './history.ts'

/** What must hold of a history. */
export interface Bounds {
  /** A disturbance is over after this time, in milliseconds. */
  recoveryMs: number
  /** Requests at once for one instance, by function. */
  concurrency: Record<string, number>
  /** No interval of `windowMs` lets more requests through to the function. */
  quota: { function: string; requests: number; windowMs: number } | null
}

export interface Verdict {
  violations: string[]
  figures: Record<string, number>
}

/** Holds a history against what must be true of every one. */
export function check(history: History, bounds: Bounds): Verdict {
  const violations = [
    ...undisturbedFailures(history, bounds),
    ...exceededConcurrency(history, bounds.concurrency),
    ...doubleOwners(history.functions),
    ...(bounds.quota ? exceededQuota(history, bounds.quota) : []),
    ...lostWrites(history),
    ...late(history, bounds),
  ]
  return { violations, figures: figures(history, bounds) }
}

/** A request that failed with no disturbance near it. 429 is no failure: it is what a limit is for. */
function undisturbedFailures({ requests, faults }: History, { recoveryMs, quota }: Bounds): string[] {
  const disturbances = faults.filter(({ disturbs }) => disturbs)
  return requests
    .filter(({ status }) => status !== 200 && status !== 429)
    .filter(
      ({ function: key, begin, end, status }) =>
        // Without control nobody can count: a limit denies then, as it says.
        !(key === quota?.function && status === 503 ? faults : disturbances).some(
          (one) => begin <= one.end + recoveryMs && end >= one.begin,
        ),
    )
    .map(
      ({ id, function: key, begin, end, status, error }) =>
        `request ${id} of ${key} failed at ${begin.toFixed(0)} after ${(end - begin).toFixed(0)} ms (${status || error}) though nothing disturbed it${near(faults, begin)}`,
    )
}

/**
 * More requests at once at an instance than its limit. What a dead engine or caller left there does not count: nobody could know of
 * it, and a program may work on after its client has gone.
 */
function exceededConcurrency({ functions, faults }: History, limits: Record<string, number>): string[] {
  const deaths = faults.filter(({ leavesRequests }) => leavesRequests)
  const worst = new Map<string, string>()
  const ends = new Map<string, number>()
  for (const one of functions) if (one.what === 'end') ends.set(`${one.instance} ${one.id}`, one.at)
  const underWay = new Map<string, { end: number; id: string }[]>()
  for (const one of functions.filter(({ what }) => what === 'begin').toSorted((a, b) => a.at - b.at)) {
    if (one.what !== 'begin') continue
    const limit = limits[one.function]
    const end = ends.get(`${one.instance} ${one.id}`) ?? one.at
    if (limit === undefined || deaths.some((death) => one.at <= death.end && end >= death.begin)) continue
    const others = (underWay.get(one.instance) ?? []).filter((other) => other.end > one.at)
    others.push({ end, id: one.id })
    underWay.set(one.instance, others)
    if (others.length > limit && !worst.has(one.instance))
      worst.set(
        one.instance,
        `${one.instance} had ${others.length} requests at once at ${one.at.toFixed(0)}; its limit is ${limit}${near(faults, one.at)}`,
      )
  }
  return [...worst.values()]
}

/** Two processes that were started as the same instance. */
function doubleOwners(functions: readonly FunctionRecord[]): string[] {
  const starts = new Map<string, number>()
  for (const one of functions)
    if (one.what === 'start') starts.set(one.instance, (starts.get(one.instance) ?? 0) + 1)
  return [...starts]
    .filter(([, count]) => count > 1)
    .map(([instance, count]) => `${instance} was started ${count} times`)
}

/** An interval in which certainly more was let through: from when a client began to ask to when its function had the request. */
function exceededQuota(
  { requests, functions, faults }: History,
  { function: key, requests: most, windowMs }: NonNullable<Bounds['quota']>,
): string[] {
  const asked = new Map(requests.map(({ id, begin }) => [id, begin]))
  const passed = functions
    .flatMap((one) => (one.what === 'begin' && one.function === key ? [one] : []))
    .map(({ id, at }) => ({ from: asked.get(id) ?? at, to: at }))
    .toSorted((a, b) => a.from - b.from)
  for (let i = 0; i < passed.length; i++) {
    const { from } = passed[i]!
    let count = 0
    for (let j = i; j < passed.length && passed[j]!.from < from + windowMs; j++)
      if (passed[j]!.to < from + windowMs) count++
    if (count > most)
      return [
        `${count} requests passed to ${key} within ${windowMs} ms from ${from.toFixed(0)}; its limit is ${most}${near(faults, from)}`,
      ]
  }
  return []
}

/** A reading that no order of the writings explains: an acknowledged one is gone. */
function lostWrites({ applies, lists, faults }: History): string[] {
  const byName = Map.groupBy(applies, ({ name }) => name)
  const lost: string[] = []
  for (const list of lists) {
    for (const [name, writings] of byName) {
      if (isExplained(list, writings, list.values[name] ?? null)) continue
      lost.push(
        `${name} was read as ${list.values[name] ?? 'absent'} at ${list.begin.toFixed(0)}, though ${JSON.stringify(
          writings.findLast(({ acknowledged, end }) => acknowledged && end <= list.begin)?.n ?? null,
        )} had been acknowledged${near(faults, list.begin)}`,
      )
    }
  }
  return lost
}

function isExplained(list: ListRecord, writings: readonly ApplyRecord[], value: number | null): boolean {
  const before = writings.filter(({ acknowledged, end }) => acknowledged && end <= list.begin)
  if (value === null) return before.length === 0
  const read = writings.find(({ n, begin }) => n === value && begin <= list.end)
  if (!read) return false
  // What was not acknowledged may have come into force at any later moment.
  return !read.acknowledged || !before.some(({ begin }) => begin >= read.end)
}

/** Times without a success of a function, or of the API, that no fault explains. */
function late({ requests, applies, faults }: History, { recoveryMs, quota }: Bounds): string[] {
  const keys = new Set(requests.map((one) => one.function))
  const series = [...keys].map((key) => ({
    name: key,
    times: requests
      .filter((one) => one.function === key && one.status > 0 && one.status < 500)
      .map(({ end }) => end),
    excused: key === quota?.function ? faults : faults.filter(({ disturbs }) => disturbs),
  }))
  series.push({
    name: 'the API',
    times: applies.filter(({ acknowledged }) => acknowledged).map(({ end }) => end),
    excused: faults,
  })
  return series.flatMap(({ name, times, excused }) =>
    gaps(times)
      .filter(({ from, to }) => to - from - overlap(from, to, excused) > recoveryMs)
      .map(
        ({ from, to }) =>
          `${name}: no success for ${(to - from).toFixed(0)} ms from ${from.toFixed(0)}${near(faults, to)}`,
      ),
  )
}

function gaps(times: number[]): { from: number; to: number }[] {
  const sorted = times.toSorted((a, b) => a - b)
  return sorted.slice(1).map((to, i) => ({ from: sorted[i]!, to }))
}

/** How much of an interval faults cover; where they overlap each counts once. */
function overlap(from: number, to: number, faults: readonly FaultRecord[]): number {
  let covered = 0
  let until = from
  for (const { begin, end } of faults.toSorted((a, b) => a.begin - b.begin)) {
    const start = Math.max(begin, until)
    const stop = Math.min(end, to)
    if (stop <= start) continue
    covered += stop - start
    until = stop
  }
  return covered
}

function figures(
  { requests, functions, faults, applies }: History,
  { quota }: Bounds,
): Record<string, number> {
  const failed = requests.filter(({ status }) => status !== 200 && status !== 429)
  const quiet = faults.filter(({ disturbs }) => !disturbs)
  const loud = faults.filter(({ disturbs }) => disturbs)
  const steady = requests.filter(({ status }) => status === 200).map(({ end }) => end)
  const during = gaps(steady)
    .filter(({ from, to }) => quiet.some((one) => from <= one.end && to >= one.begin))
    .filter(({ from, to }) => !loud.some((one) => from <= one.end + 5_000 && to >= one.begin))
  const recovery = loud.map(({ end }) => {
    const next = faults.find((one) => one.begin > end)?.begin ?? Number.POSITIVE_INFINITY
    const after = failed.filter(
      (one) => one.begin > end && one.end < next && !(one.function === quota?.function && one.status === 503),
    )
    return Math.max(0, ...after.map(({ begin }) => begin - end))
  })
  return {
    faults: faults.length,
    requests: requests.length,
    failed: failed.length,
    /** Of those, by a limit that nobody could count. */
    uncounted: failed.filter((one) => one.function === quota?.function && one.status === 503).length,
    limited: requests.filter(({ status }) => status === 429).length,
    instancesStarted: functions.filter(({ what }) => what === 'start').length,
    acknowledged: applies.filter(({ acknowledged }) => acknowledged).length,
    longestGapMs: longest(gaps(steady)),
    longestGapWithoutControlMs: longest(during),
    longestRecoveryMs: Math.round(Math.max(0, ...recovery)),
  }
}

function longest(all: { from: number; to: number }[]): number {
  return Math.round(all.reduce((most, { from, to }) => Math.max(most, to - from), 0))
}

function near(faults: readonly FaultRecord[], at: number): string {
  const last = faults.filter(({ begin }) => begin <= at).toSorted((a, b) => b.begin - a.begin)[0]
  return last ? ` (last fault: ${last.name}, from ${last.begin.toFixed(0)} to ${last.end.toFixed(0)})` : ''
}
