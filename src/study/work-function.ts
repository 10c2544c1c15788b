// The function that a replay runs, as the module of an image `file:`. It is copied beside the manifests, so it imports
// nothing of the project's.

/** What the function answers to `/work?ms=12&mode=sleep[&mb=30]`. */
export interface WorkDone {
  /** K_SERVICE of the instance, null outside of a mesh. */
  readonly function: string | null
  readonly pid: number
  /** Whether this was the instance's first request. */
  readonly cold: boolean
  /** How long it worked, in us: `sleep`: the time that passed; `spin`: the CPU time of this request alone. */
  readonly executedUs: number
}

/** An hour: nothing a trace asks for comes near it. */
const MAX_MS = 3_600_000
const MAX_MB = 16_384
/** A spin gives way to the instance's other requests after so long, as a thread of its own would. */
const SLICE_US = 5_000

let served = 0

export default {
  async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url)
    if (url.pathname !== '/work')
      return refuse(404, `no ${url.pathname} here; ask for /work?ms=12&mode=sleep`)
    const ms = bounded(url.searchParams.get('ms'), MAX_MS)
    const mb = bounded(url.searchParams.get('mb') ?? '0', MAX_MB)
    const mode = url.searchParams.get('mode')
    if (ms === undefined) return refuse(400, `ms: expected a number from 0 to ${MAX_MS}`)
    if (mb === undefined) return refuse(400, `mb: expected a number from 0 to ${MAX_MB}`)
    if (mode !== 'sleep' && mode !== 'spin') return refuse(400, 'mode: expected sleep or spin')

    const cold = served === 0
    served++
    // Filled, since memory that was never written is not taken. Held until the work is done.
    const memory = Buffer.alloc(Math.floor(mb * 1024 * 1024), 1)
    const executedUs = mode === 'sleep' ? await sleep(ms) : await spin(ms)
    const done: WorkDone = { function: process.env.K_SERVICE ?? null, pid: process.pid, cold, executedUs }
    return Response.json(memory.length === 0 ? done : { ...done, memoryBytes: memory.length })
  },
}

/** Waits at least so long, though Node's timers may fire up to 1 ms early, and answers how long it was, in us. */
async function sleep(ms: number): Promise<number> {
  const start = performance.now()
  for (let left = ms; left > 0; left = ms - (performance.now() - start)) {
    await new Promise((resolve) => setTimeout(resolve, left))
  }
  return Math.round((performance.now() - start) * 1000)
}

/**
 * Computes until this request has had so much CPU time and answers how much it was, in us. Time that other requests or
 * processes had in between does not count, so that what waited for the CPU shows in the latency.
 */
async function spin(ms: number): Promise<number> {
  const wanted = ms * 1000
  let used = 0
  while (used < wanted) {
    if (used > 0) await new Promise((resolve) => setImmediate(resolve))
    const slice = Math.min(SLICE_US, wanted - used)
    const start = process.threadCpuUsage()
    let spent = 0
    while (spent < slice) {
      burn()
      const { user, system } = process.threadCpuUsage(start)
      spent = user + system
    }
    used += spent
  }
  return Math.round(used)
}

let sum = 0

/** A few microseconds of arithmetic between two looks at the clock; the result is kept so that it is not optimised away. */
function burn(): void {
  for (let i = 0; i < 2_000; i++) sum = (sum * 31 + i) | 0
}

function bounded(text: string | null, max: number): number | undefined {
  if (text === null || !/^\d{1,7}(\.\d{1,6})?$/.test(text)) return undefined
  const value = Number(text)
  return value <= max ? value : undefined
}

function refuse(status: number, message: string): Response {
  return Response.json({ error: message }, { status })
}
