import { join } from 'node:path'
import type { BenchRun } from './bench.ts'
import type { Children } from './children.ts'
import { HeadCycle } from './head-cycle.ts'
import { authorization, meshConfig, service } from './manifests.ts'
import { type Mesh, startMesh } from './mayfly.ts'
import { startUpstream } from './nginx.ts'
import { accessLog, rateLimit, requestAuthentication, tracing, traffic } from './nine-policies.ts'
import { missingPeers } from './peers.ts'
import { type Loaded, measureProxy, type ProxySample } from './proxy-load.ts'
import { interleaved } from './rounds.ts'
import { type Goal, measured, type Row } from './row.ts'
import { median } from './statistics.ts'
import { makeTokens, type Tokens } from './tokens.ts'
import { startTraceSink } from './trace-sink.ts'
import { RULES, requestHeadWithToken } from './workload.ts'

/** Costs of one policy are small beside the machine's noise, so each round of the others is several short ones here. */
const PASSES_A_ROUND = 3
const SECONDS = 1
/** More than an engine remembers (two generations of 8,192), so that in turn none is known any more. */
const ALL_DIFFERENT = 16_500
const REPEATED = 1000

const few: readonly Goal[] = [{ of: 'ratio', atMost: 1.05 }]
const some: readonly Goal[] = [{ of: 'ratio', atMost: 1.15 }]

type Policy = {
  /** The function that has this policy and no other. */
  readonly name: string
  readonly title: string
  readonly goals?: readonly Goal[]
  manifests(name: string, jwks: string): object[]
}

const POLICIES: readonly Policy[] = [
  {
    name: 'token',
    title: 'token seen before',
    goals: few,
    manifests: (name, jwks) => [requestAuthentication(name, jwks)],
  },
  {
    name: 'new-token',
    title: 'tokens all different',
    manifests: (name, jwks) => [requestAuthentication(name, jwks)],
  },
  {
    name: 'authorization',
    title: 'authorization, 10 rules',
    goals: few,
    manifests: (name) => [authorization(name, RULES)],
  },
  {
    name: 'limit',
    title: 'rate limit',
    goals: few,
    manifests: (name) => [rateLimit(name, { header: 'x-tenant' })],
  },
  { name: 'traffic', title: 'retries and circuit breaking', goals: few, manifests: traffic },
  { name: 'tracing', title: 'tracing, with export', goals: some, manifests: (name) => [tracing(name)] },
  { name: 'logging', title: 'access log', goals: some, manifests: (name) => [accessLog(name)] },
  {
    name: 'everything',
    title: 'all of these on one node',
    manifests: (name, jwks) => [
      requestAuthentication(name, jwks),
      authorization(name, RULES),
      rateLimit(name),
      ...traffic(name),
      tracing(name),
      accessLog(name),
    ],
  },
]

const BARE = 'bare'
const MUTUAL_TLS = 'mutual TLS to another node'

/** What each policy by itself adds to an engine's CPU time per request, at saturation, over a function without policies. */
export async function ablation({ rounds, children, say }: BenchRun): Promise<Row[]> {
  const missing = missingPeers().filter((peer) => peer !== 'envoy')
  if (missing.length > 0) throw new Error(`not installed: ${missing.join(', ')}`)
  const upstream = await startUpstream(children)
  say(`signing ${ALL_DIFFERENT} tokens`)
  const tokens = await makeTokens(ALL_DIFFERENT)
  const subjects = await startSubjects(children, upstream.port, tokens)
  const run = async (subject: Loaded) =>
    (await measureProxy(children, upstream, subject, 'saturation', SECONDS)).sample
  say('warming up')
  for (let pass = 0; pass < 2; pass++) for (const subject of subjects) await run(subject)
  const passes = rounds * PASSES_A_ROUND
  const samples = await interleaved(passes, subjects, async (subject, pass) => {
    const sample = await run(subject)
    say(`pass ${pass + 1}/${passes}: ${subject.name} ${sample.engineCpu.toFixed(1)} us/request`)
    return sample
  })
  return rowsOf(new Map([...samples].map(([{ name }, list]) => [name, list])))
}

async function startSubjects(
  children: Children,
  upstream: number,
  { jwks, tokens }: Tokens,
): Promise<Loaded[]> {
  const sink = await startTraceSink(children)
  const image = `endpoint:127.0.0.1:${upstream}`
  const one = await startMesh(children, 'ablation', [
    meshConfig({
      engines: 1,
      accessLog: join(children.folder, 'ablation-access.json'),
      sinkPort: sink.httpPort,
      defaultAuthorization: 'allow',
    }),
    quiet(),
    service(BARE, image),
    ...POLICIES.flatMap(({ name, manifests }) => [service(name, image), ...manifests(name, jwks)]),
  ])
  const settings = meshConfig({ engines: 1, defaultAuthorization: 'allow' })
  const two = await startMesh(children, 'ablation-nodes', [settings, service(BARE, image)], {}, 2)
  const repeated = tokens.slice(0, REPEATED)
  return [
    subjectOf(one, BARE, BARE, repeated),
    ...POLICIES.map(({ name, title }) =>
      subjectOf(one, name, title, name === 'new-token' ? tokens : repeated),
    ),
    subjectOf(two, BARE, MUTUAL_TLS, repeated),
  ]
}

// The mesh has an access log, which all functions would write to where nothing else is said.
function quiet(): object {
  return {
    apiVersion: 'telemetry.istio.io/v1',
    kind: 'Telemetry',
    metadata: { name: 'quiet', namespace: 'mayfly-system' },
    spec: { accessLogging: [{ disabled: true }], tracing: [{ disableSpanReporting: true }] },
  }
}

function subjectOf(mesh: Mesh, name: string, title: string, tokens: readonly string[]): Loaded {
  const heads = new HeadCycle(tokens.map((token) => requestHeadWithToken(mesh.host(name), token)))
  return { name: title, port: mesh.gatewayPort, heads, processes: mesh.processes, engines: mesh.engines }
}

function rowsOf(samples: ReadonlyMap<string, readonly ProxySample[]>): Row[] {
  const of = (title: string) => samples.get(title)!.map(({ engineCpu }) => engineCpu)
  const baseline = { name: 'bare', rounds: of(BARE) }
  const bare = median(baseline.rounds)
  const row = (title: string, goals: readonly Goal[] = []) => {
    const added = median(of(title)) - bare
    return measured({
      name: `ablation: ${title}`,
      unit: 'us/request',
      rounds: of(title),
      baseline,
      goals,
      note: `${added >= 0 ? '+' : ''}${added.toFixed(1)} us`,
    })
  }
  return [
    measured({ name: 'ablation: bare', unit: 'us/request', rounds: baseline.rounds }),
    ...POLICIES.map(({ title, goals }) => row(title, goals)),
    row(MUTUAL_TLS),
  ]
}
