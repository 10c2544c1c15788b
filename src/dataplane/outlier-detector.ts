import type { OutlierSettings } from '../policy/traffic-settings.ts'

/** What came of one attempt at an instance, as Envoy tells them apart. */
export type Outcome =
  | { readonly kind: 'connected' }
  | { readonly kind: 'status'; readonly status: number }
  /** No connection, or one that ended before an answer. */
  | { readonly kind: 'failed' }
  | { readonly kind: 'timed-out' }

interface Monitor {
  consecutive5xx: number
  consecutiveGateway: number
  consecutiveLocal: number
  /** Time of the ejection; null where it is not ejected. */
  ejectedAt: number | null
  /** By how many times the base the next ejection lasts, less one. */
  backOff: number
}

/** Counts of what was judged; they only grow. */
export interface OutlierCounters {
  outliersEjected: number
  /** Ejections left out, since more than maxEjectionPercent would be ejected. */
  outliersKept: number
}

/** Envoy's max_ejection_time, in milliseconds. */
const MAX_EJECTION_MS = 300_000

/**
 * Leaves out instances that fail, by Envoy's rules: consecutive errors eject at once; each `interval` those whose time is
 * over come back, and the others' back-off shrinks by one. Times are in milliseconds of any one clock. What it knows is
 * of one engine.
 */
export class OutlierDetector<Member extends object> {
  readonly #settings: OutlierSettings
  readonly #counters: OutlierCounters
  readonly #monitors = new WeakMap<Member, Monitor>()
  /** Whether any member may be ejected, so that there is nothing to look up where none is. */
  #anyEjected = false
  #nextSweep: number

  constructor(settings: OutlierSettings, counters: OutlierCounters, now: number) {
    this.#settings = settings
    this.#counters = counters
    this.#nextSweep = now + settings.intervalMs
  }

  /** Whether any member may be ejected, so that `filter` has something to say. */
  get anyEjected(): boolean {
    return this.#anyEjected
  }

  /** Whether it judges by that kind of outcome at all. */
  heeds(outcome: Outcome): boolean {
    return outcome.kind !== 'connected' || this.#settings.splitsLocalErrors
  }

  /** `members` are all that there are at present. */
  note(member: Member, outcome: Outcome, members: readonly Member[], now: number): void {
    this.#sweep(members, now)
    const monitor = this.#monitor(member)
    const { splitsLocalErrors } = this.#settings
    switch (outcome.kind) {
      case 'connected':
        monitor.consecutiveLocal = 0
        return
      case 'status':
        return this.#noteStatus(monitor, outcome.status, members, now)
      case 'failed':
        if (splitsLocalErrors) return this.#noteLocal(monitor, members, now)
        return this.#noteStatus(monitor, 503, members, now)
      case 'timed-out':
        if (splitsLocalErrors) return this.#noteLocal(monitor, members, now)
        return this.#noteStatus(monitor, 504, members, now)
    }
  }

  /** The instances that may be used: all of them where too few are healthy (Envoy's panic). */
  filter(members: readonly Member[], now: number): ((member: Member) => boolean) | null {
    if (!this.#anyEjected) return null
    this.#sweep(members, now)
    const ejected = this.#countEjected(members)
    if (ejected === 0) return null
    const healthy = (100 * (members.length - ejected)) / members.length
    if (healthy < this.#settings.minHealthPercent) return null
    return (member) => !this.isEjected(member)
  }

  isEjected(member: Member): boolean {
    return (this.#monitors.get(member)?.ejectedAt ?? null) !== null
  }

  #noteStatus(monitor: Monitor, status: number, members: readonly Member[], now: number): void {
    if (status < 500 || status > 599) {
      monitor.consecutive5xx = 0
      monitor.consecutiveGateway = 0
      return
    }
    const { consecutive5xx, consecutiveGateway } = this.#settings
    if (status >= 502 && status <= 504) {
      if (++monitor.consecutiveGateway === consecutiveGateway) {
        this.#eject(monitor, members, now)
        monitor.consecutiveGateway = 0
      }
    } else monitor.consecutiveGateway = 0
    if (++monitor.consecutive5xx === consecutive5xx) {
      this.#eject(monitor, members, now)
      monitor.consecutive5xx = 0
    }
  }

  #noteLocal(monitor: Monitor, members: readonly Member[], now: number): void {
    if (++monitor.consecutiveLocal !== this.#settings.consecutiveLocal) return
    this.#eject(monitor, members, now)
    monitor.consecutiveLocal = 0
  }

  #eject(monitor: Monitor, members: readonly Member[], now: number): void {
    if (monitor.ejectedAt !== null) return
    const percent = (100 * (this.#countEjected(members) + 1)) / members.length
    if (!(percent <= this.#settings.maxEjectionPercent)) {
      this.#counters.outliersKept++
      return
    }
    this.#counters.outliersEjected++
    this.#anyEjected = true
    monitor.ejectedAt = now
    const { baseEjectionMs } = this.#settings
    if (monitor.backOff * baseEjectionMs < this.#maxEjectionMs + baseEjectionMs) monitor.backOff++
  }

  /** All sweeps that are due, at once: while nothing is asked, nothing changes. */
  #sweep(members: readonly Member[], now: number): void {
    if (now < this.#nextSweep) return
    const { intervalMs } = this.#settings
    const first = this.#nextSweep
    const sweeps = Math.floor((now - first) / intervalMs) + 1
    this.#nextSweep = first + sweeps * intervalMs
    for (const member of members) {
      const monitor = this.#monitors.get(member)
      if (monitor) this.#sweepOne(monitor, first, sweeps)
    }
    this.#anyEjected = this.#countEjected(members) > 0
  }

  #sweepOne(monitor: Monitor, first: number, sweeps: number): void {
    let healthySweeps = sweeps
    if (monitor.ejectedAt !== null) {
      const due =
        monitor.ejectedAt + Math.min(this.#settings.baseEjectionMs * monitor.backOff, this.#maxEjectionMs)
      const back = Math.max(0, Math.ceil((due - first) / this.#settings.intervalMs))
      if (back >= sweeps) return
      monitor.ejectedAt = null
      monitor.consecutive5xx = 0
      monitor.consecutiveGateway = 0
      monitor.consecutiveLocal = 0
      healthySweeps = sweeps - back - 1
    }
    monitor.backOff = Math.max(0, monitor.backOff - healthySweeps)
  }

  get #maxEjectionMs(): number {
    return Math.max(MAX_EJECTION_MS, this.#settings.baseEjectionMs)
  }

  #countEjected(members: readonly Member[]): number {
    let count = 0
    for (const member of members) if (this.isEjected(member)) count++
    return count
  }

  #monitor(member: Member): Monitor {
    const known = this.#monitors.get(member)
    if (known) return known
    const monitor = {
      consecutive5xx: 0,
      consecutiveGateway: 0,
      consecutiveLocal: 0,
      ejectedAt: null,
      backOff: 0,
    }
    this.#monitors.set(member, monitor)
    return monitor
  }
}
