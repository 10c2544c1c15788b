import type { StringMatch } from './string-match.ts'

/**
 * The callees that one entry of a Sidecar's egress hosts means, as a match on "namespace/name"; null where no function
 * can have such a name. `namespace/dnsName`: the namespace is a name, "*" (any), "." (the function's own) or "~" (none);
 * the DNS name is a function's, `*`, or a suffix of one after `*.`. A bare host means any namespace, as in Istio.
 */
export function egressHostMatch(host: string, ownNamespace: string): StringMatch | null {
  const slash = host.indexOf('/')
  const scope = slash < 0 ? '*' : host.slice(0, slash)
  const pair = parseDnsName((slash < 0 ? host : host.slice(slash + 1)).toLowerCase())
  if (!pair || scope === '~') return null
  const wanted = scope === '.' ? ownNamespace : scope
  const namespace = combine(wanted, pair.namespace)
  return namespace === null ? null : keyMatch(namespace, pair.name)
}

interface CalleePattern {
  readonly namespace: string
  readonly name: string
}

/** Namespace and name of a DNS name, "*" where any will do; null where no function has such a name. */
function parseDnsName(dnsName: string): CalleePattern | null {
  if (dnsName === '*') return { namespace: ANY, name: ANY }
  if (dnsName.startsWith('*.')) {
    const suffix = dnsName.slice(2)
    if (['svc.cluster.local', 'cluster.local', 'local'].includes(suffix)) return { namespace: ANY, name: ANY }
    const namespace = /^([^.*]+)\.svc\.cluster\.local$/.exec(suffix)
    return namespace ? { namespace: namespace[1]!, name: ANY } : null
  }
  const parts = /^([^.*]+)(?:\.([^.*]+)(?:\.svc(?:\.cluster\.local)?)?)?$/.exec(dnsName)
  return parts ? { namespace: parts[2] ?? ANY, name: parts[1]! } : null
}

/** What fits both; null where nothing does. */
function combine(a: string, b: string): string | null {
  if (a === ANY) return b
  return b === ANY || a === b ? a : null
}

function keyMatch(namespace: string, name: string): StringMatch {
  if (namespace === ANY) return name === ANY ? { form: 'present' } : { form: 'suffix', text: `/${name}` }
  return name === ANY
    ? { form: 'prefix', text: `${namespace}/` }
    : { form: 'exact', text: `${namespace}/${name}` }
}

const ANY = '*'
