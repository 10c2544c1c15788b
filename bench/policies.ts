import { Client } from 'undici'
import type { BenchRun } from './bench.ts'
import { pause } from './children.ts'
import { startUpstream, type Upstream } from './nginx.ts'
import { missingPeers } from './peers.ts'
import { direct, envoyPair, mayflyNodes, type PolicyProxy, relayPair } from './policy-proxies.ts'
import { policyRows } from './policy-rows.ts'
import { missingRecords } from './proxies.ts'
import { LOADS, type Load, measureProxy, type ProxySample } from './proxy-load.ts'
import { interleaved } from './rounds.ts'
import type { Row } from './row.ts'
import { makeTokens } from './tokens.ts'

const saturationSeconds = 3
const openLoopSeconds = 3
/** Requests bring them in turn, so each was seen before but for the first time. */
const TOKENS = 1000

/** Where others keep the machine's CPUs, a rate cannot be kept at times: by whom it was not is said, and it is tried again. */
const MOST_TRIES = 3
const SETTLE_MS = 2000

/** CPU time per request, and latency, of all nine policies over two nodes: Mayfly's engines against a pair of Envoys. */
export async function policies({ rounds, children, say, fail }: BenchRun): Promise<Row[]> {
  const missing = missingPeers()
  if (missing.length > 0) throw new Error(`not installed: ${missing.join(', ')}`)
  const upstream = await startUpstream(children)
  const tokens = await makeTokens(TOKENS)
  const running = [
    direct(upstream.port),
    await relayPair(children, upstream.port),
    await envoyPair(children, upstream.port, tokens),
    await mayflyNodes(children, upstream.port, tokens),
  ]
  for (const proxy of running.slice(2)) await checkPolicies(proxy, upstream)

  const answered = new Map<PolicyProxy, number>()
  const run = async (proxy: PolicyProxy, load: Load, seconds: number) => {
    for (let tries = 1; ; tries++) {
      try {
        const { sample, requests } = await measureProxy(children, upstream, proxy, load, seconds)
        answered.set(proxy, (answered.get(proxy) ?? 0) + requests)
        return sample
      } catch (error) {
        if (tries === MOST_TRIES) throw error
        say(`${load}: measured again, since ${(error as Error).message}`)
        await pause(SETTLE_MS)
      }
    }
  }
  for (const proxy of running) {
    say(`warming up ${proxy.name}`)
    // What is cold may not keep up with requests that come whatever becomes of earlier ones.
    await run(proxy, 'saturation', 8)
    await run(proxy, '1000/s', 2)
  }
  const samples = new Map<Load, ReadonlyMap<PolicyProxy['name'], readonly ProxySample[]>>()
  for (const load of LOADS) {
    const subjects = load === 'saturation' ? running.slice(1) : running
    const taken = await interleaved(rounds, subjects, async (proxy, round) => {
      const sample = await run(proxy, load, load === 'saturation' ? saturationSeconds : openLoopSeconds)
      const figures = `${sample.engineCpu.toFixed(1)} us/request, p50 ${sample.p50.toFixed(0)} us`
      say(`${load}, round ${round + 1}/${rounds}: ${proxy.name} ${figures}`)
      return sample
    })
    samples.set(load, new Map([...taken].map(([{ name }, list]) => [name, list])))
  }
  const problems: string[] = []
  for (const proxy of running) {
    const requests = answered.get(proxy)!
    const problem = (await missingRecords(proxy, requests)) ?? (await proxy.idlePolicy?.(requests)) ?? null
    if (problem === null) continue
    problems.push(`${proxy.name} did only a part of its work: ${problem}`)
    fail(problems.at(-1)!)
  }
  return LOADS.flatMap((load) => policyRows(load, samples.get(load)!, problems[0]))
}

/** Throws unless a request with its token passes, and one with a bad token or without any is refused before the upstream. */
async function checkPolicies({ name, port, heads }: PolicyProxy, upstream: Upstream): Promise<void> {
  const [head] = heads.next(1)
  const before = await upstream.requests()
  const client = new Client(`http://127.0.0.1:${port}`)
  const statusOf = async (authorization: string | undefined) => {
    const { fields, path } = readHead(head!)
    if (authorization === undefined) delete fields.authorization
    else fields.authorization = authorization
    const { statusCode, body } = await client.request({ path, method: 'GET', headers: fields })
    await body.dump()
    return statusCode
  }
  const token = readHead(head!).fields.authorization!
  const statuses = [
    await statusOf(token),
    await statusOf(`${token.slice(0, -6)}AAAAAA`),
    await statusOf(undefined),
  ]
  await client.close()
  const reached = (await upstream.requests()) - before
  if (statuses.join() !== '200,401,403' || reached !== 1)
    throw new Error(
      `${name} answers ${statuses.join(', ')} where 200, 401, 403 are due; ${reached} reached the upstream`,
    )
}

function readHead(head: string): { path: string; fields: Record<string, string> } {
  const [first, ...lines] = head.trimEnd().split('\r\n')
  const fields = lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)])
  return { path: first!.split(' ')[1]!, fields: Object.fromEntries(fields) }
}
