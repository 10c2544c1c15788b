import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { EngineLink, EngineLinkEvents, SpawnEngine } from '../control/engine-fleet.ts'
import type { FromEngine } from '../dataplane/engine-messages.ts'
import { tiedToParent } from '../runtime/launch.ts'

/** `bare`: the study's baseline, an engine without sidecars. */
export type EngineKind = 'mesh' | 'bare'

const ENTRY = fileURLToPath(new URL('./engine-process.ts', import.meta.url))

/**
 * Tells glibc's allocator to keep to few arenas and to give free memory back: without it an engine that was sent thousands
 * of functions stays some ten megabytes larger than what it holds. Elsewhere it means nothing.
 */
export const ALLOCATOR = { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072' }

/** Starts engines as child processes; they end when this process does. `within` is a command that runs one elsewhere, as `ip netns exec NAME`. */
export function spawnEngine(kind: EngineKind, within: readonly string[] = []): SpawnEngine {
  return (name, events) => new StartedEngine(name, kind, within).link(events)
}

/** Engines that start before it is known what they are for: their start then costs no time of its own. */
export interface EnginesAhead {
  /** Gives those first, then starts others. */
  readonly spawn: SpawnEngine
  /** Ends those that nobody took. */
  endRest(): void
}

/** They are named as those of a node are whose engines' names begin with `prefix`; by default of a mesh of one node. */
export function startEnginesAhead(kind: EngineKind, count: number, prefix = 'engine'): EnginesAhead {
  const ahead = Array.from({ length: count }, (_, i) => new StartedEngine(`${prefix}-${i}`, kind, []))
  return {
    spawn: (name, events) => (ahead.shift() ?? new StartedEngine(name, kind, [])).link(events),
    endRest: () => {
      for (const engine of ahead.splice(0)) engine.kill()
    },
  }
}

class StartedEngine {
  readonly #child: ChildProcess
  #events: EngineLinkEvents | null = null
  /** What it said before somebody listened. */
  readonly #early: FromEngine[] = []
  #ended: string | null = null

  constructor(name: string, kind: EngineKind, within: readonly string[]) {
    // By its channel it learns that this process has ended; one that is stopped then would keep its ports.
    const [execPath = process.execPath, ...before] = [...within, ...tiedToParent(), process.execPath]
    const child = fork(ENTRY, [name, kind], {
      serialization: 'advanced',
      env: { ...process.env, ...ALLOCATOR },
      execPath,
      execArgv: [...before, '--no-warnings'],
    })
    this.#child = child
    child.on('message', (message) => {
      if (this.#events) this.#events.message(message as FromEngine)
      else this.#early.push(message as FromEngine)
    })
    child.on('error', (error) => {
      // Its channel is broken: without control it must not go on beside the one that takes its place.
      this.kill()
      this.#end(error.message)
    })
    child.on('exit', (code, signal) => this.#end(signal ?? `exit code ${code}`))
  }

  link(events: EngineLinkEvents): EngineLink {
    // Who is given the link has it in hand before the engine is heard.
    setImmediate(() => {
      this.#events = events
      for (const message of this.#early.splice(0)) events.message(message)
      if (this.#ended !== null) events.exit(this.#ended)
    })
    return {
      pid: this.#child.pid,
      send: (message) => {
        if (this.#child.connected) this.#child.send(message)
      },
      kill: () => this.kill(),
    }
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #end(how: string): void {
    if (this.#ended !== null) return
    this.#ended = how
    this.#events?.exit(how)
  }
}
