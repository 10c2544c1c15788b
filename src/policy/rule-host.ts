/**
 * The host of a rule in one form: "name.namespace" for a function, or a wildcard "*.rest" as it is written. A name without
 * namespace means the rule's own, as in Istio.
 */
export function ruleHost(host: string, namespace: string): string {
  const lower = host.toLowerCase()
  if (lower.startsWith('*')) return lower
  const [name, ns = namespace] = lower.split('.')
  return `${name}.${ns}`
}

/**
 * How closely a rule's host (ruleHost) names a function; -1: not at all. An exact name beats a wildcard, a longer one a shorter. What
 * is said of a Service holds for its earlier revisions, too.
 */
export function hostCloseness(
  host: string,
  fn: { readonly namespace: string; readonly name: string; readonly service?: string },
): number {
  const own = `${fn.name}.${fn.namespace}`
  if (host === own || host === `${fn.service}.${fn.namespace}`) return Number.POSITIVE_INFINITY
  if (!host.startsWith('*')) return -1
  return `.${own}.svc.cluster.local`.endsWith(host.slice(1)) ? host.length : -1
}
