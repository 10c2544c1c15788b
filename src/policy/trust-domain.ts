/** The mesh's own trust domain and its other names, as MeshConfig gives them. */
export interface TrustDomains {
  readonly trustDomain: string
  readonly aliases: readonly string[]
}

/** The names of a configuration's trust domain. */
export function trustDomainsOf(config: {
  readonly trustDomain: string
  readonly trustDomainAliases?: readonly string[]
}): TrustDomains {
  return { trustDomain: config.trustDomain, aliases: config.trustDomainAliases ?? [] }
}

/**
 * The principals that a policy means: one that names the mesh's trust domain, one of its aliases, or `cluster.local`
 * (Istio's pointer to the local trust domain) means that workload under every name of the mesh; all others stand for
 * themselves.
 */
export function expandTrustDomains(principals: readonly string[], domains: TrustDomains): string[] {
  return [...new Set(principals.flatMap((principal) => expand(principal, domains)))]
}

const LOCAL = 'cluster.local'

function expand(principal: string, domains: TrustDomains): string[] {
  const parts = principal.split('/')
  const domain = parts[0]!
  // Only a whole principal names a trust domain; "*/ns/shop/sa/cart" takes any.
  if (parts.length !== 5 || domain === '*') return [principal]
  const own = [domains.trustDomain, ...domains.aliases]
  if (domain !== LOCAL && !own.some((name) => covers(domain, name))) return [principal]
  return own.map((name) => (covers(domain, name) ? principal : [name, ...parts.slice(1)].join('/')))
}

function covers(pattern: string, name: string): boolean {
  return pattern.startsWith('*') ? name.endsWith(pattern.slice(1)) : pattern === name
}
