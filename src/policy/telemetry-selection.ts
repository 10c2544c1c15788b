import type { FunctionSpec } from '../api/function-spec.ts'
import type { Telemetry } from '../api/telemetry.ts'
import { selects } from './selector.ts'

/** For whom a Telemetry's entry holds: the caller's outbound sidecar, or the callee's (the gateway counts as that). */
export type WorkloadMode = 'CLIENT' | 'SERVER'

/**
 * The Telemetry resources that apply to a function, as Istio has it, the broadest first: that of the root namespace,
 * that of the function's namespace (both without selector), that which selects the function. At most one of each, the
 * first by name. `fn` is null for requests that name no function.
 */
export function applicableTelemetries(
  telemetries: readonly Telemetry[],
  fn: FunctionSpec | null,
  rootNamespace: string,
): Telemetry[] {
  const byName = [...telemetries].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  const wide = (namespace: string) =>
    byName.find((telemetry) => telemetry.metadata.namespace === namespace && !hasSelector(telemetry))
  const found = [wide(rootNamespace)]
  if (fn !== null) {
    if (fn.namespace !== rootNamespace) found.push(wide(fn.namespace))
    found.push(
      byName.find(
        (telemetry) =>
          telemetry.metadata.namespace === fn.namespace &&
          hasSelector(telemetry) &&
          selects(telemetry.spec.selector?.matchLabels, fn),
      ),
    )
  }
  return found.filter((telemetry) => telemetry !== undefined)
}

/** Whether an entry is for that mode; without `match` it is for both. */
export function isForMode(entry: { match?: { mode: string } | undefined }, mode: WorkloadMode): boolean {
  const wanted = entry.match?.mode ?? 'CLIENT_AND_SERVER'
  return wanted === 'CLIENT_AND_SERVER' || wanted === mode
}

function hasSelector(telemetry: Telemetry): boolean {
  return Object.keys(telemetry.spec.selector?.matchLabels ?? {}).length > 0
}
