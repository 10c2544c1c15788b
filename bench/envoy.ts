import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Child, type Children, freePort, listening } from './children.ts'
import { authorization } from './envoy-authorization.ts'
import {
  cluster,
  httpConnectionManager,
  jsonAccessLog,
  loopback,
  router,
  SPEAKS_HTTP2,
  tracing,
} from './envoy-parts.ts'
import { envoyProgram } from './peers.ts'
import { RULES } from './workload.ts'

/** Envoy's equivalents of our three policies; absent: a bare proxy. */
export type EnvoyPolicies = { readonly sinkPort: number }

export type EnvoyProxy = { readonly child: Child; readonly port: number; readonly accessLog: string }

/** Starts Envoy as a bare HTTP proxy or with authorization, tracing and an access log. */
export async function startEnvoy(
  children: Children,
  name: string,
  upstream: number,
  policies?: EnvoyPolicies,
): Promise<EnvoyProxy> {
  const port = await freePort()
  const accessLog = join(children.folder, `${name}-access.json`)
  const child = await runEnvoy(children, name, port, bootstrap(port, upstream, policies, accessLog))
  return { child, port, accessLog }
}

/** Starts Envoy with one worker thread on a configuration that listens on `port`. */
export async function runEnvoy(
  children: Children,
  name: string,
  port: number,
  configuration: object,
): Promise<Child> {
  const file = join(children.folder, `${name}.json`)
  writeFileSync(file, JSON.stringify(configuration))
  const child = children.start(name, envoyProgram(), [
    ...['--config-path', file],
    ...['--concurrency', '1'],
    ...['--log-level', 'warn'],
    // The default of 10 s would leave lines unwritten when they are counted.
    ...['--file-flush-interval-msec', '1000'],
    '--disable-hot-restart',
  ])
  await listening(child, port)
  return child
}

function bootstrap(port: number, upstream: number, policies: EnvoyPolicies | undefined, accessLog: string) {
  const routes = [{ match: { prefix: '/' }, route: { cluster: 'service' } }]
  const manager = httpConnectionManager({
    stat_prefix: 'proxy',
    route_config: { virtual_hosts: [{ name: 'service', domains: ['*'], routes }] },
    http_filters: [...(policies === undefined ? [] : [authorization(RULES)]), router()],
    ...(policies === undefined ? {} : { tracing: tracing('proxy'), access_log: [jsonAccessLog(accessLog)] }),
  })
  return {
    static_resources: {
      listeners: [{ name: 'proxy', address: loopback(port), filter_chains: [{ filters: [manager] }] }],
      clusters: [
        cluster('service', upstream),
        ...(policies === undefined ? [] : [cluster('sink', policies.sinkPort, SPEAKS_HTTP2)]),
      ],
    },
  }
}
