// The load generator's process: sends each invocation of a load at its time, however the earlier ones fare.

import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import {
  type Failure,
  type FromGenerator,
  LATE_MS,
  type Load,
  type Outcome,
  type Stop,
} from './load-protocol.ts'
import type { WorkDone } from './work-function.ts'

/** Time to set up before the first invocation is due. */
const LEAD_MS = 50
const REPORT_MS = 100
/** A kept connection is closed before a gateway would, so that none is reused while it closes. */
const IDLE_MS = 4_000
const MAX_IDLE_CONNECTIONS = 4_096
const MAX_ANSWER_BYTES = 64 * 1024
const MAX_DETAIL = 200

interface Exchange {
  readonly index: number
  readonly firedAt: number
  readonly request: ClientRequest
  readonly timer: NodeJS.Timeout
}

// Ctrl-C goes to the whole process group; the replay decides when to stop. If the replay is gone, so is this.
process.on('SIGINT', () => {})
process.on('disconnect', () => process.exit())
process.once('message', (load: Load) => generate(load))

function generate(load: Load): void {
  const gateway = new URL(load.gateway)
  const agent = new Agent({ keepAlive: true, maxFreeSockets: MAX_IDLE_CONNECTIONS, timeout: IDLE_MS })
  const underWay = new Map<number, Exchange>()
  const total = load.fireUs.length
  const startedAt = performance.now() + LEAD_MS
  let outcomes: Outcome[] = []
  let next = 0
  let done = 0
  let failed = 0
  let late = 0
  let state: 'sending' | 'stopped' | 'ended' = 'sending'
  let wake: NodeJS.Timeout | undefined
  const reporting = setInterval(report, REPORT_MS)

  process.on('message', (message: Stop) => {
    if (message.kind !== 'stop' || state !== 'sending') return
    state = 'stopped'
    clearTimeout(wake)
    if (underWay.size === 0) return end()
    // The last one of them ends the load.
    for (const exchange of underWay.values()) fail(exchange, 'aborted', 'the replay was stopped')
  })
  sendDue()

  function sendDue(): void {
    while (next < total && startedAt + load.fireUs[next]! / 1000 <= performance.now()) fire(next++)
    if (next < total)
      wake = setTimeout(sendDue, Math.max(1, startedAt + load.fireUs[next]! / 1000 - performance.now()))
  }

  function fire(index: number): void {
    const target = load.targets[load.functionAt[index]!]!
    const memory = load.memory ? `&mb=${load.memoryMb[index]}` : ''
    const firedAt = performance.now()
    if (firedAt - startedAt - load.fireUs[index]! / 1000 > LATE_MS) late++
    const outgoing = request({
      agent,
      host: gateway.hostname,
      port: gateway.port,
      path: `/work?ms=${load.askedMs[index]}&mode=${load.work}${memory}`,
      headers: { ...load.headers, host: target.host },
    })
    const timer = setTimeout(
      () => fail(exchange, 'timeout', `no whole answer within ${load.timeoutMs} ms`),
      load.timeoutMs,
    )
    const exchange: Exchange = { index, firedAt, request: outgoing, timer }
    underWay.set(index, exchange)
    outgoing.on('response', (response) => receive(exchange, response, target.name))
    outgoing.on('error', (error) => fail(exchange, 'connection', describe(error)))
    outgoing.end()
  }

  function receive(exchange: Exchange, response: IncomingMessage, name: string): void {
    let text = ''
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => {
      text += chunk
      if (text.length > MAX_ANSWER_BYTES) fail(exchange, 'answer', `is longer than ${MAX_ANSWER_BYTES} bytes`)
    })
    response.on('error', (error) => fail(exchange, 'connection', describe(error)))
    response.on('end', () => {
      const status = response.statusCode ?? 0
      if (status !== 200)
        return settle(exchange, status, { kind: 'status', detail: `${status} ${oneLine(text)}` })
      const answer = readAnswer(text, name, load.askedMs[exchange.index]!)
      if (typeof answer === 'string') return settle(exchange, status, { kind: 'answer', detail: answer })
      return settle(exchange, status, undefined, answer)
    })
  }

  function fail(exchange: Exchange, kind: Failure['kind'], detail: string): void {
    if (!underWay.has(exchange.index)) return
    settle(exchange, 0, { kind, detail: detail.slice(0, MAX_DETAIL) })
    exchange.request.destroy()
  }

  function settle(exchange: Exchange, status: number, failure: Failure | undefined, answer?: WorkDone): void {
    if (!underWay.delete(exchange.index)) return
    clearTimeout(exchange.timer)
    done++
    if (failure !== undefined) failed++
    outcomes.push({
      index: exchange.index,
      firedUs: Math.round((exchange.firedAt - startedAt) * 1000),
      latencyUs: Math.round((performance.now() - exchange.firedAt) * 1000),
      status,
      failure,
      cold: answer?.cold ?? false,
      executedUs: answer?.executedUs ?? 0,
      pid: answer?.pid ?? 0,
    })
    if (underWay.size === 0 && (next === total || state === 'stopped')) end()
  }

  function report(): void {
    say({ kind: 'outcomes', outcomes, progress: { sent: next, done, failed, late } })
    outcomes = []
  }

  function end(): void {
    state = 'ended'
    clearInterval(reporting)
    agent.destroy()
    report()
    const { user, system } = process.cpuUsage()
    say({ kind: 'ended', cpuUs: user + system }, () => process.disconnect?.())
  }
}

function say(message: FromGenerator, said?: () => void): void {
  process.send?.(message, undefined, undefined, said)
}

/** The function's answer, or why it is not one. */
function readAnswer(text: string, name: string, askedMs: number): WorkDone | string {
  const answer = parse(text)
  if (answer === undefined) return `is not the work function's: ${oneLine(text)}`
  if (answer.function !== null && answer.function !== name)
    return `came from ${oneLine(answer.function)}, not from ${name}`
  if (answer.executedUs < askedMs * 1000)
    return `worked ${answer.executedUs} us, less than the ${askedMs} ms asked for`
  return answer
}

function parse(text: string): WorkDone | undefined {
  try {
    const value = JSON.parse(text)
    const sound =
      typeof value?.cold === 'boolean' &&
      Number.isSafeInteger(value.executedUs) &&
      Number.isSafeInteger(value.pid) &&
      (value.function === null || typeof value.function === 'string')
    return sound ? value : undefined
  } catch {
    return undefined
  }
}

function describe(error: NodeJS.ErrnoException): string {
  return error.code === undefined ? error.message : `${error.code} ${error.message}`
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, MAX_DETAIL)
}
