import { once } from 'node:events'
import { Agent, request } from 'node:http'
import type { Cluster } from './cluster.ts'
import { type History, monotonicMs } from './history.ts'

const REQUEST_MS = 10_000
/** Requests to the steady function at once, by the gateway and by another function: engines contend for its slots. */
const CLIENTS = 6
const CALLERS = 5
const LIMITED_PAUSE_MS = 100
const APPLY_PAUSE_MS = 150
/** Resources that are written again and again. */
const NAMES = 12

/** Clients of the functions and of the API, who write down what they see until `signal` aborts. */
export function load(
  cluster: Cluster,
  history: History,
  signal: AbortSignal,
  random: () => number,
): Promise<unknown> {
  const agent = new Agent({ keepAlive: true })
  const clients = Array.from({ length: CLIENTS + CALLERS }, (_, i) =>
    steady(
      cluster,
      history,
      signal,
      agent,
      i < CLIENTS ? { name: 'steady', prefix: `s${i}` } : { name: 'caller', prefix: `c${i}` },
      random,
    ),
  )
  return Promise.all([
    ...clients,
    limited(cluster, history, signal, agent),
    writer(cluster, history, signal),
    reader(cluster, history, signal),
  ]).finally(() => agent.destroy())
}

async function steady(
  cluster: Cluster,
  history: History,
  signal: AbortSignal,
  agent: Agent,
  { name, prefix }: { name: string; prefix: string },
  random: () => number,
): Promise<void> {
  for (let i = 0; !signal.aborted; i++) {
    // Mostly short ones; a few are long enough to be under way while things change.
    const ms = random() < 0.03 ? 1_500 : 5 + Math.floor(random() * 40)
    await ask(cluster, history, agent, name, `${prefix}-${i}`, ms)
    await wait(10 + random() * 40)
  }
}

/** Asks at a fixed pace, whether answers come or not. */
async function limited(cluster: Cluster, history: History, signal: AbortSignal, agent: Agent): Promise<void> {
  const open = new Set<Promise<void>>()
  for (let i = 0; !signal.aborted; i++) {
    const one: Promise<void> = ask(cluster, history, agent, 'limited', `l-${i}`, 1).finally(() =>
      open.delete(one),
    )
    open.add(one)
    await wait(LIMITED_PAUSE_MS)
  }
  await Promise.all(open)
}

async function ask(
  { gateway }: Cluster,
  history: History,
  agent: Agent,
  name: string,
  id: string,
  ms: number,
): Promise<void> {
  const begin = monotonicMs()
  let status = 0
  let error = ''
  try {
    const sent = request({
      ...gateway,
      agent,
      path: `/?id=${id}&ms=${ms}${name === 'caller' ? '&call=steady' : ''}`,
      headers: { host: `${name}.chaos.localhost` },
      signal: AbortSignal.timeout(REQUEST_MS),
    })
    sent.end()
    const [response] = await once(sent, 'response')
    let text = ''
    for await (const part of response.setEncoding('utf8')) text += part
    status = response.statusCode
    if (status !== 200) error = text.slice(0, 200)
    else if (!text.includes(`"${id}"`)) error = `the answer is another one's: ${text.slice(0, 200)}`
    if (status === 200 && error) status = 0
  } catch (problem) {
    error = (problem as Error).message
  }
  history.requests.push({ id, function: `chaos/${name}`, begin, end: monotonicMs(), status, error })
  if (status === 0 || status >= 500) await wait(50)
}

/** The only one who writes these resources. */
async function writer(cluster: Cluster, history: History, signal: AbortSignal): Promise<void> {
  for (let n = 1; !signal.aborted; n++) {
    const name = `written-${n % NAMES}`
    const text = JSON.stringify({
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name, namespace: 'chaos', labels: { n: String(n) } },
      spec: { action: 'DENY', rules: [{ to: [{ operation: { paths: [`/never/${n}`] } }] }] },
    })
    const begin = monotonicMs()
    const acknowledged = await cluster
      .call((client, options) =>
        client.apply({ files: [{ path: `${name}.yaml`, text }], dryRun: false }, options),
      )
      .then(
        () => true,
        (error) => noteRefusal(cluster, error),
      )
    history.applies.push({ name, n, begin, end: monotonicMs(), acknowledged })
    await wait(APPLY_PAUSE_MS)
  }
}

const refusals = new Set<string>()

/** Each reason once. */
function noteRefusal(cluster: Cluster, error: Error): false {
  if (!refusals.has(error.message)) cluster.note(`a writing was not acknowledged: ${error.message}`)
  refusals.add(error.message)
  return false
}

async function reader(cluster: Cluster, history: History, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await read(cluster, history)
    await wait(500)
  }
}

/** Reads once what is written; nothing is noted where there is no answer. */
export async function read(cluster: Cluster, history: History): Promise<boolean> {
  const begin = monotonicMs()
  try {
    const { items } = await cluster.call((client, options) =>
      client.list({ kind: 'AuthorizationPolicy', namespace: 'chaos' }, options),
    )
    const values = Object.fromEntries(
      items.map(({ name, manifest }) => [name, Number(JSON.parse(manifest).metadata.labels.n)]),
    )
    history.lists.push({ begin, end: monotonicMs(), values })
    return true
  } catch {
    return false
  }
}

export function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
