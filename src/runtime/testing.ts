// What the tests of this folder share: functions in a folder of their own, and a listener that remembers.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { FunctionImage, FunctionSpec } from '../api/function-spec.ts'
import type { Instance, InstanceListener } from './instance.ts'
import type { InstanceSet, InstanceSetOptions } from './instance-set.ts'
import { createRuntime, type Runtime, type RuntimeOptions } from './runtime.ts'

/** A folder that the test's end removes, with the given files. */
export function folder(t: TestContext, files: Record<string, string> = {}): string {
  const path = mkdtempSync(join(tmpdir(), 'mayfly-runtime-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text)
  return path
}

export function spec(image: FunctionImage, more: Partial<FunctionSpec> = {}): FunctionSpec {
  return {
    namespace: 'shop',
    name: 'cart',
    key: 'shop/cart',
    principal: 'cluster.local/ns/shop/sa/cart',
    serviceAccount: 'cart',
    labels: {},
    image,
    env: [],
    port: 8080,
    workingDir: null,
    readiness: null,
    concurrency: 0,
    timeoutMs: 300_000,
    responseStartTimeoutMs: 0,
    idleTimeoutMs: 0,
    scaling: {} as FunctionSpec['scaling'],
    clusterLocal: false,
    source: { file: '/tmp/functions.yaml', line: 1 },
    ...more,
  }
}

export const host = (...command: string[]) => spec({ kind: 'host', command, args: [] })

/** A runtime that the test's end closes. */
export function runtime(t: TestContext, options: RuntimeOptions = {}): Runtime {
  const made = createRuntime(options)
  t.after(() => made.close())
  return made
}

export type InstanceEvent =
  | { kind: 'starting' | 'ready' | 'stopping'; instance: Instance }
  | { kind: 'gone'; instance: Instance; why: string }
  | { kind: 'failed'; reason: string; retryAt: number }

type EventOf<Kind> =
  Extract<InstanceEvent, { kind: Kind }> extends never
    ? Extract<InstanceEvent, { instance: Instance }>
    : Extract<InstanceEvent, { kind: Kind }>

/** Remembers what happened, and lets a test wait for what it needs. */
export class Recorder implements InstanceListener {
  readonly events: InstanceEvent[] = []
  onStopping: (instance: Instance) => void | Promise<void> = () => {}
  #watchers = new Set<() => void>()
  #read = new Map<string, number>()

  starting(instance: Instance): void {
    this.#note({ kind: 'starting', instance })
  }
  ready(instance: Instance): void {
    this.#note({ kind: 'ready', instance })
  }
  stopping(instance: Instance): void | Promise<void> {
    this.#note({ kind: 'stopping', instance })
    return this.onStopping(instance)
  }
  gone(instance: Instance, why: string): void {
    this.#note({ kind: 'gone', instance, why })
  }
  failed(reason: string, retryAt: number): void {
    this.#note({ kind: 'failed', reason, retryAt })
  }

  /** The next event of this kind that no earlier call has given. */
  async next<Kind extends InstanceEvent['kind']>(kind: Kind): Promise<EventOf<Kind>> {
    for (;;) {
      const found = this.events.filter((event) => event.kind === kind)
      const read = this.#read.get(kind) ?? 0
      if (found.length > read) {
        this.#read.set(kind, read + 1)
        return found[read] as EventOf<Kind>
      }
      await new Promise<void>((resolve) => this.#watchers.add(resolve))
    }
  }

  kinds(): string {
    return this.events.map(({ kind }) => kind).join(' ')
  }

  #note(event: InstanceEvent): void {
    this.events.push(event)
    for (const watcher of this.#watchers) watcher()
    this.#watchers.clear()
  }
}

/** A set with its recorder. */
export function recorded(
  made: Runtime,
  of: FunctionSpec,
  options: Partial<InstanceSetOptions> = {},
): { set: InstanceSet; seen: Recorder } {
  const seen = new Recorder()
  const set = made.createSet(of, {
    revision: `${of.name}-00001`,
    environment: () => ({}),
    listener: seen,
    graceMs: 2_000,
    ...options,
  })
  return { set, seen }
}

/** For tests that look into /proc, as the keeper does for what has left its process group. */
export const ON_LINUX = process.platform === 'linux' ? {} : { skip: 'needs Linux (/proc)' }

/** Resolves when no process has that id (or only a zombie that nobody has reaped); fails when it lives on. */
export async function ended(pid: number): Promise<void> {
  for (let waited = 0; waited < 3_000; waited += 10) {
    if (!isRunning(pid)) return
    await delay(10)
  }
  throw new Error(
    `process ${pid} lives on: ${readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')}`,
  )
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    if (process.platform !== 'linux') return true
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    return false
  }
}
