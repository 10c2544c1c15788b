import type { FunctionSpec } from '../api/function-spec.ts'
import { backOffMs, SETTLED_MS } from './back-off.ts'
import { type BringUp, bringUp, type Origin, type Run } from './bring-up.ts'
import { type Instance, type InstanceListener, type LiveInstance, newInstance } from './instance.ts'
import { terminate } from './instance-process.ts'
import type { Compartment } from './isolation/compartment.ts'

/** The instances of one revision of one function. */
export interface InstanceSet {
  readonly spec: FunctionSpec
  readonly revision: string
  /** All that are not gone. */
  instances(): Instance[]
  /** Starts or stops instances until `count` are up. An external endpoint's instances are always up. */
  setDesired(count: number): void
  /** Why the last start failed, until an instance is ready. */
  failure(): { reason: string; retryAt: number } | null
  /** Stops all instances for good; resolves when the last is gone. */
  drain(): Promise<void>
}

export interface InstanceSetOptions {
  revision: string
  /** The mesh's own variables for an instance: HTTP_PROXY, http_proxy, NO_PROXY, MAYFLY_URL. */
  environment(
    instance: Instance,
  ): Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>
  /** In a runtime that isolates: what shuts the instance in, when its environment is known; null: none could be made. */
  compartment?(instance: Instance): Compartment | null
  listener: InstanceListener
  /** Which of two instances to stop first when there are too many (as for Array.sort). Without it, the youngest. */
  stopFirst?(a: Instance, b: Instance): number
  /** A start that takes longer has failed. */
  startTimeoutMs?: number
  /** How long `stopping` may take before the instance is told to end all the same. */
  drainMs?: number
  /** From SIGTERM to SIGKILL. */
  graceMs?: number
}

export const INSTANCE_LIMITS = { startTimeoutMs: 60_000, drainMs: 300_000, graceMs: 10_000 }

/** The instances of a function that is a process: a file or a program of this machine. */
export function createProcessSet(run: Run, spec: FunctionSpec, options: InstanceSetOptions): InstanceSet {
  const { listener, revision } = options
  const limits = { ...INSTANCE_LIMITS, ...options }
  const origin: Origin = {
    spec,
    environment: options.environment,
    compartment: (instance) => options.compartment?.(instance) ?? null,
    startTimeoutMs: limits.startTimeoutMs,
  }
  const slots = new Map<string, Slot>()
  let desired = 0
  let drained: PromiseWithResolvers<void> | null = null
  /** Starts and early crashes that failed one after the other. */
  let failures = 0
  /** No start before this time (performance.now()). */
  let pausedUntil = 0
  let failure: { reason: string; retryAt: number } | null = null
  let timer: NodeJS.Timeout | undefined

  function reconcile(): void {
    clearTimeout(timer)
    timer = undefined
    const up = [...slots.values()].filter(({ instance }) => isUp(instance))
    if (up.length > desired) for (const slot of surplus(up, up.length - desired)) void stop(slot)
    if (up.length < desired) start(up, desired - up.length)
  }

  function start(up: Slot[], missing: number): void {
    const waitMs = pausedUntil - performance.now()
    if (waitMs > 0) {
      timer = setTimeout(reconcile, waitMs)
      return
    }
    // What has failed is tried once at a time, until it is known to work again.
    const doubtful = failures > 0 && !up.some(({ instance }) => instance.state === 'ready')
    const count = doubtful ? Math.min(missing, 1 - up.length) : missing
    for (let i = 0; i < count; i++) void live()
  }

  /** An instance's whole life, up to the moment when it is told to stop. */
  async function live(): Promise<void> {
    const instance = newInstance(spec, revision, (id) => slots.has(id))
    const abort = new AbortController()
    listener.starting?.(instance)
    const slot: Slot = {
      instance,
      abort,
      readyAt: null,
      failuresBefore: failures,
      bringing: bringUp(run, origin, instance, abort.signal),
    }
    slots.set(instance.id, slot)
    const begun = performance.now()
    const result = await slot.bringing
    if (abort.signal.aborted || result.kind === 'stopped') return
    if (result.kind === 'failed') {
      const retryAt = pause(slot)
      failure = { reason: result.reason, retryAt }
      end(slot, result.reason)
      listener.failed(result.reason, retryAt)
      return reconcile()
    }
    slot.readyAt = performance.now()
    instance.readyAfterMs = slot.readyAt - begun
    instance.state = 'ready'
    failure = null
    listener.ready(instance)
    reconcile()
    const how = await result.process.exit
    if (abort.signal.aborted) return
    if (!settled(slot)) pause(slot)
    run.logs.append({
      time: Date.now(),
      function: spec.key,
      instance: instance.id,
      stream: 'mesh',
      text: `the instance ${how}`,
    })
    end(slot, `it ${how}`)
    reconcile()
  }

  async function stop(slot: Slot): Promise<void> {
    const { instance } = slot
    if (!isUp(instance)) return
    instance.state = 'stopping'
    slot.abort.abort()
    const idle = Promise.resolve(listener.stopping?.(instance)).catch(() => {})
    const result = await slot.bringing
    const process = result.kind === 'failed' ? null : result.process
    if (process !== null) {
      if (slot.readyAt !== null) await within(Promise.race([idle, process.exit]), limits.drainMs)
      await terminate(process, limits.graceMs)
    }
    end(slot, 'it was stopped')
    reconcile()
  }

  /** Makes the next start wait. Of several that were started together and fail, only the first counts. */
  function pause(slot: Slot): number {
    if (slot.failuresBefore === failures) {
      failures++
      pausedUntil = performance.now() + backOffMs(failures)
    }
    return Date.now() + Math.ceil(Math.max(0, pausedUntil - performance.now()))
  }

  function end(slot: Slot, why: string): void {
    slot.instance.state = 'gone'
    slots.delete(slot.instance.id)
    if (settled(slot)) failures = 0
    run.keeper.sweep(slot.instance.id)
    listener.gone(slot.instance, why)
    if (slots.size === 0) drained?.resolve()
  }

  function surplus(up: Slot[], count: number): Slot[] {
    const order = options.stopFirst ?? ((a, b) => b.startedAt - a.startedAt)
    const rank = ({ instance }: Slot) => (instance.state === 'starting' ? 0 : 1)
    return up.toSorted((a, b) => rank(a) - rank(b) || order(a.instance, b.instance)).slice(0, count)
  }

  return {
    spec,
    revision,
    instances: () => Array.from(slots.values(), ({ instance }) => instance),
    setDesired(count) {
      if (!Number.isSafeInteger(count) || count < 0)
        throw new RangeError(`cannot have ${count} instances of ${spec.key}`)
      if (drained) return
      desired = count
      reconcile()
    },
    failure: () => failure,
    drain() {
      if (drained) return drained.promise
      drained = Promise.withResolvers()
      desired = 0
      reconcile()
      if (slots.size === 0) drained.resolve()
      return drained.promise
    },
  }
}

type Slot = {
  instance: LiveInstance
  /** Aborted when it is to stop. */
  abort: AbortController
  bringing: Promise<BringUp>
  /** performance.now() */
  readyAt: number | null
  /** The count of failures when it was started. */
  failuresBefore: number
}

function settled(slot: Slot): boolean {
  return slot.readyAt !== null && performance.now() - slot.readyAt >= SETTLED_MS
}

function isUp(instance: Instance): boolean {
  return instance.state === 'starting' || instance.state === 'ready'
}

async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  await Promise.race([promise, late])
  clearTimeout(timer)
}
