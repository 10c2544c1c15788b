// By which name a TLS client says which function it wants: Istio's SNI between sidecars.

/** "outbound_.8080_._.cart.shop.svc.cluster.local" */
export function serverName(key: string, port: number): string {
  const [namespace, name] = key.split('/')
  return `outbound_.${port}_._.${name}.${namespace}.svc.cluster.local`
}

/** The function's key ("shop/cart"); null where the name has another form. */
export function functionOfServerName(name: string): string | null {
  const found = /^outbound_\.\d{1,5}_\._\.([a-z0-9.-]{1,253})\.([a-z0-9-]{1,63})\.svc\.cluster\.local$/.exec(
    name,
  )
  return found ? `${found[2]}/${found[1]}` : null
}
