import { request } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Probe } from '../api/probe.ts'

/** Where and how to ask; `exec` runs a command as the instance would and says whether it ended with status 0. */
export type ProbeTarget = {
  host: string
  port: number
  exec(command: string[], signal: AbortSignal): Promise<ProbeResult>
}

export type ProbeResult = { ok: true } | { ok: false; problem: string }

/** Asks again and again until the instance is ready, or `signal` aborts: then says what the last attempt met. */
export async function untilReady(
  probe: Probe,
  target: ProbeTarget,
  signal: AbortSignal,
): Promise<ProbeResult> {
  let last: ProbeResult = { ok: false, problem: 'it was not asked yet' }
  let successes = 0
  let stepMs = FIRST_STEP_MS
  const longestMs = probe.periodMs === 0 ? LONGEST_STEP_MS : probe.periodMs
  await pause(probe.initialDelayMs, signal)
  while (!signal.aborted) {
    const attempt = AbortSignal.any([signal, AbortSignal.timeout(probe.timeoutMs)])
    const result = await ask(probe.handler, target, attempt)
    if (signal.aborted) break
    last =
      result.ok || !attempt.aborted
        ? result
        : { ok: false, problem: `no answer within ${probe.timeoutMs} ms` }
    successes = result.ok ? successes + 1 : 0
    if (successes >= probe.successThreshold) return { ok: true }
    // Between the successes that are still wanted the period counts; a refusal is asked about more eagerly at first.
    await pause(result.ok ? longestMs : stepMs, signal)
    stepMs = Math.min(stepMs * 2, longestMs)
  }
  return last.ok ? { ok: false, problem: 'it was ready too few times in a row' } : last
}

/** Knative's default: the port takes connections. */
export const TCP_PROBE: Probe = {
  handler: { kind: 'tcp' },
  initialDelayMs: 0,
  periodMs: 0,
  timeoutMs: 1_000,
  successThreshold: 1,
  failureThreshold: 3,
}

const FIRST_STEP_MS = 2
const LONGEST_STEP_MS = 50
/** Fields that a request has once: the manifest's last one counts. */
const SINGLE = new Set(['host', 'user-agent'])

function ask(handler: Probe['handler'], target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
  switch (handler.kind) {
    case 'tcp':
      return askTcp(target, signal)
    case 'http':
      return askHttp(handler, target, signal)
    case 'exec':
      return target.exec(handler.command, signal)
  }
}

function askTcp(target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ host: target.host, port: target.port, signal })
    socket.on('connect', () => {
      resolve({ ok: true })
      socket.destroy()
    })
    socket.on('error', (error) => resolve({ ok: false, problem: error.message }))
  })
}

/** 2xx and 3xx are success; a redirect is not followed. */
function askHttp(
  handler: Extract<Probe['handler'], { kind: 'http' }>,
  target: ProbeTarget,
  signal: AbortSignal,
): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const headers: Record<string, string | string[]> = { 'user-agent': 'mayfly-probe' }
    for (const { name, value } of handler.headers) {
      const key = name.toLowerCase()
      const before = headers[key]
      headers[key] = before === undefined || SINGLE.has(key) ? value : [before, value].flat()
    }
    const options = {
      host: target.host,
      port: target.port,
      path: handler.path,
      headers,
      agent: false,
      signal,
    }
    const asked = request(options, (response) => {
      const status = response.statusCode!
      const ok = status >= 200 && status < 400
      resolve(ok ? { ok } : { ok, problem: `GET ${handler.path} answered ${status}` })
      response.on('error', () => {})
      response.destroy()
    })
    asked.on('error', (error) => resolve({ ok: false, problem: `GET ${handler.path}: ${error.message}` }))
    asked.end()
  })
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await delay(ms, undefined, { signal }).catch(() => {})
}
