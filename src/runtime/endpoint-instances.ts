import type { FunctionSpec } from '../api/function-spec.ts'
import { type LiveInstance, newInstance } from './instance.ts'
import type { InstanceSet, InstanceSetOptions } from './instance-set.ts'

/**
 * The instances of a function whose servers somebody else runs: each address is one, ready at once and until it is
 * drained. Whether it answers is for the data plane to find out.
 */
export function createEndpointSet(
  spec: FunctionSpec,
  addresses: readonly { host: string; port: number }[],
  options: InstanceSetOptions,
): InstanceSet {
  const { listener, revision } = options
  const live = new Map<string, LiveInstance>()
  for (const address of addresses) {
    const instance = newInstance(spec, revision, (id) => live.has(id))
    live.set(instance.id, Object.assign(instance, { address: { ...address }, readyAfterMs: 0 }))
  }
  let draining: Promise<void> | null = null

  // Not before the caller holds the set that the listener is about.
  queueMicrotask(() => {
    if (draining) return
    for (const instance of live.values()) {
      listener.starting?.(instance)
      instance.state = 'ready'
      listener.ready(instance)
    }
  })

  async function drain(): Promise<void> {
    for (const instance of live.values()) {
      const wasReady = instance.state === 'ready'
      instance.state = 'stopping'
      if (wasReady) await Promise.resolve(listener.stopping?.(instance)).catch(() => {})
      instance.state = 'gone'
      live.delete(instance.id)
      if (wasReady) listener.gone(instance, 'its address was given up')
    }
  }

  return {
    spec,
    revision,
    instances: () => [...live.values()],
    setDesired() {},
    failure: () => null,
    drain() {
      draining ??= drain()
      return draining
    },
  }
}
