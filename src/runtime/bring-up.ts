import type { FunctionSpec } from '../api/function-spec.ts'
import { instanceEnvironment } from './environment.ts'
import type { LiveInstance } from './instance.ts'
import { type InstanceProcess, startProcess } from './instance-process.ts'
import type { Compartment } from './isolation/compartment.ts'
import type { Isolation } from './isolation/isolation.ts'
import type { Keeper } from './keeper.ts'
import { type Launch, type Launcher, planLaunch } from './launch.ts'
import type { LogBook } from './log-book.ts'
import { leasePort } from './port-lease.ts'
import type { Prestarted } from './prestarted.ts'
import { type ProbeResult, TCP_PROBE, untilReady } from './readiness.ts'
import type { StartGate } from './start-gate.ts'

/** What every instance of one mesh process shares. */
export type Run = {
  gate: StartGate
  keeper: Keeper
  logs: LogBook
  launcher: Launcher
  /** Every instance has a compartment of its own, or is not started. */
  isolation: Isolation | null
  /** Started ahead for file functions; null: none are. Such a process is outside, so it is no isolated instance's. */
  prestarted: Prestarted | null
  /** Where file functions keep compiled code between starts; null: nowhere. */
  cacheDirectory: string | null
}

type Environment = Readonly<Record<string, string>>

/** What an instance is started from. */
export type Origin = {
  spec: FunctionSpec
  environment(instance: LiveInstance): Environment | Promise<Environment>
  /** What shuts the instance in; null: it is a plain process. Asked after `environment`. */
  compartment(instance: LiveInstance): Compartment | null
  startTimeoutMs: number
}

/** `stopped`: `signal` aborted first; the process may still be there. */
export type BringUp =
  | { kind: 'ready'; process: InstanceProcess }
  | { kind: 'failed'; reason: string }
  | { kind: 'stopped'; process: InstanceProcess | null }

/** Starts the instance's process, when that may be, and waits until it is ready. Fills in its pid and address. */
export async function bringUp(
  run: Run,
  origin: Origin,
  instance: LiveInstance,
  signal: AbortSignal,
): Promise<BringUp> {
  const leave = await run.gate.enter(signal)
  if (leave === null) return { kind: 'stopped', process: null }
  try {
    return await begin(run, origin, instance, signal)
  } finally {
    leave()
  }
}

async function begin(
  run: Run,
  origin: Origin,
  instance: LiveInstance,
  signal: AbortSignal,
): Promise<BringUp> {
  const { image, port } = origin.spec
  if (image.kind !== 'host') return attempt(run, origin, instance, null, signal)
  // No other instance uses the ports of a compartment's network.
  if (run.isolation !== null) return attempt(run, origin, instance, port, signal)
  for (let tries = 1; ; tries++) {
    const lease = await leasePort()
    if (lease === null) return { kind: 'failed', reason: 'no free port was found for it on 127.0.0.1' }
    const result = await attempt(run, origin, instance, lease.port, signal)
    const process = result.kind === 'failed' ? null : result.process
    if (process === null) lease.release()
    else void process.exit.then(lease.release)
    // Another process was quicker to take the port: that says nothing about the function.
    const isPortTaken = result.kind === 'failed' && PORT_TAKEN.test(result.reason)
    if (!isPortTaken || tries === MOST_PORTS || signal.aborted) return result
  }
}

async function attempt(
  run: Run,
  origin: Origin,
  instance: LiveInstance,
  port: number | null,
  signal: AbortSignal,
): Promise<BringUp> {
  const { spec } = origin
  let mesh: Environment
  try {
    mesh = await origin.environment(instance)
  } catch (error) {
    return { kind: 'failed', reason: `its environment is not known: ${(error as Error).message}` }
  }
  if (signal.aborted) return { kind: 'stopped', process: null }
  const compartment = run.isolation === null ? null : origin.compartment(instance)
  if (run.isolation !== null && compartment === null)
    return { kind: 'failed', reason: 'there is no compartment for it: the mesh process says why' }
  const refused = compartment?.limit(spec.resources) ?? null
  if (refused !== null) return { kind: 'failed', reason: refused }
  const cache =
    run.cacheDirectory && (compartment ? ownCache(compartment, instance, spec) : run.cacheDirectory)
  const environment = instanceEnvironment({
    instance,
    name: spec.service ?? spec.name,
    env: spec.env,
    port,
    run: run.keeper.run,
    mesh: {
      ...(cache && { NODE_COMPILE_CACHE: cache }),
      ...mesh,
    },
    isolated: compartment !== null,
  })
  const plan = planLaunch(spec, environment)
  if (!plan.ok) return { kind: 'failed', reason: plan.reason }
  const inside: Inside = { launch: plan.launch, compartment }
  const process = await startOwned(run, instance, inside)
  if (typeof process === 'string') return { kind: 'failed', reason: process }
  instance.pid = process.pid

  const deadline = AbortSignal.timeout(origin.startTimeoutMs)
  const ended = new AbortController()
  void process.exit.then(() => ended.abort())
  const give = AbortSignal.any([signal, deadline, ended.signal])
  const ready = await reached(run, origin, instance, inside, process, port, give)
  if (ready.ok && !ended.signal.aborted) return { kind: 'ready', process }
  if (signal.aborted) return { kind: 'stopped', process }
  process.signal('SIGKILL')
  const how = await process.exit
  await process.outputRead
  const what =
    ready.ok || !deadline.aborted
      ? `it ${how} before it was ready`
      : late(origin.startTimeoutMs, ready.problem)
  return { kind: 'failed', reason: what + tail(run.logs, instance) }
}

/** The mesh's own folder is closed to instances that are users of their own. */
function ownCache(compartment: Compartment, instance: LiveInstance, { image }: FunctionSpec): string | null {
  return image.kind === 'file' ? compartment.compiledCode(`${instance.function} ${instance.revision}`) : null
}

/** A launch as the manifest has it, and what the process is to be shut in by. */
type Inside = { launch: Launch; compartment: Compartment | null }

/** Waits for the port that the process announces or was given, then asks as the manifest says. */
async function reached(
  run: Run,
  origin: Origin,
  instance: LiveInstance,
  inside: Inside,
  process: InstanceProcess,
  givenPort: number | null,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const probe = origin.spec.readiness ?? TCP_PROBE
  const port = givenPort ?? (await Promise.race([process.port, aborted(signal)]))
  if (port === null) return { ok: false, problem: 'the module has not finished loading' }
  instance.address = { host: inside.compartment?.address ?? '127.0.0.1', port }
  // A port that was announced is open: no need to try it.
  if (givenPort === null && probe.handler.kind === 'tcp' && probe.initialDelayMs === 0) return { ok: true }
  const exec = (command: string[], attempt: AbortSignal) =>
    runProbe(run, origin, instance, inside, command, attempt)
  return untilReady(probe, { ...instance.address, exec }, signal)
}

async function runProbe(
  run: Run,
  origin: Origin,
  instance: LiveInstance,
  { launch, compartment }: Inside,
  command: string[],
  signal: AbortSignal,
): Promise<ProbeResult> {
  const image = { kind: 'host' as const, command, args: [] }
  const plan = planLaunch({ ...origin.spec, image }, launch.environment)
  if (!plan.ok) return { ok: false, problem: `the probe's ${plan.reason}` }
  const process = await startOwned(run, instance, { launch: plan.launch, compartment })
  if (typeof process === 'string') return { ok: false, problem: process }
  const kill = () => process.signal('SIGKILL')
  signal.addEventListener('abort', kill)
  if (signal.aborted) kill()
  const how = await process.exit
  signal.removeEventListener('abort', kill)
  const ok = how === 'exited with status 0'
  return ok ? { ok } : { ok, problem: `the probe ${command[0]} ${how}` }
}

/** A process that the keeper knows of and whose output is logged as the instance's. */
async function startOwned(
  run: Run,
  instance: LiveInstance,
  { launch, compartment }: Inside,
): Promise<InstanceProcess | string> {
  const { logs, keeper } = run
  const { id, function: key } = instance
  const log = (stream: 'stdout' | 'stderr' | 'mesh', text: string) =>
    logs.append({ time: Date.now(), function: key, instance: id, stream, text })
  const entered = compartment?.enter(launch) ?? {
    ok: true,
    launch: run.prestarted?.take(launch) ?? run.launcher(launch),
  }
  if (!entered.ok) return entered.reason
  const started = await startProcess(entered.launch, {
    line: log,
    dropped(stream, bytes) {
      logs.drop(bytes)
      log('mesh', `${bytes} bytes of ${stream} were dropped: it writes faster than is kept`)
    },
  })
  if (!started.ok) return started.reason
  const { pid } = started.process
  keeper.add(pid)
  void started.process.exit.then(() => keeper.remove(pid))
  return started.process
}

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(null)
    else signal.addEventListener('abort', () => resolve(null), { once: true })
  })
}

function late(timeoutMs: number, problem: string): string {
  return `it was not ready within ${timeoutMs / 1_000} s (${problem})`
}

/** The last lines of what the instance has written, which mostly say what went wrong. */
function tail(logs: LogBook, instance: LiveInstance): string {
  const lines = logs
    .recent({ function: instance.function, instance: instance.id }, TAIL_SEARCHED)
    .filter(({ text }) => text.trim() !== '' && !NOISE.test(text))
    .slice(-TAIL_LINES)
  if (lines.length === 0) return '; it wrote nothing'
  return `; its last output:\n${lines.map(({ text }) => `  ${text.slice(0, TAIL_WIDTH)}`).join('\n')}`
}

const TAIL_SEARCHED = 50
const TAIL_LINES = 10
const TAIL_WIDTH = 300
/** Lines of Node's report of an error that concern Node alone. */
const NOISE = /^\s+at .*\(?node:internal|^Node\.js v\d/
const MOST_PORTS = 3
const PORT_TAKEN = /EADDRINUSE|address already in use|errno 98\b/i
