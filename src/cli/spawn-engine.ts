import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { SpawnEngine } from '../control/engine-fleet.ts'
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
  // By its channel it learns that this process has ended; one that is stopped then would keep its ports.
  const [execPath = process.execPath, ...before] = [...within, ...tiedToParent(), process.execPath]
  return (name, events) => {
    const child = fork(ENTRY, [name, kind], {
      serialization: 'advanced',
      env: { ...process.env, ...ALLOCATOR },
      execPath,
      execArgv: [...before, '--no-warnings'],
    })
    let ended = false
    const end = (how: string) => {
      if (ended) return
      ended = true
      events.exit(how)
    }
    child.on('message', (message) => events.message(message as Parameters<typeof events.message>[0]))
    child.on('error', (error) => {
      // Its channel is broken: without control it must not go on beside the one that takes its place.
      child.kill('SIGKILL')
      end(error.message)
    })
    child.on('exit', (code, signal) => end(signal ?? `exit code ${code}`))
    return {
      pid: child.pid,
      send: (message) => {
        if (child.connected) child.send(message)
      },
      kill: () => child.kill('SIGKILL'),
    }
  }
}
