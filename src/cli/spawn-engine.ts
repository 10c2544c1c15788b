import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { SpawnEngine } from '../control/engine-fleet.ts'

const ENTRY = fileURLToPath(new URL('./engine-process.ts', import.meta.url))

/** Starts an engine as a child process; it ends when this process does. */
export const spawnEngine: SpawnEngine = (name, events) => {
  const child = fork(ENTRY, [name], { serialization: 'advanced', execArgv: ['--no-warnings'] })
  child.on('message', (message) => events.message(message as Parameters<typeof events.message>[0]))
  let ended = false
  const end = (how: string) => {
    if (ended) return
    ended = true
    events.exit(how)
  }
  child.on('error', (error) => end(error.message))
  child.on('exit', (code, signal) => end(signal ?? `exit code ${code}`))
  return {
    pid: child.pid,
    send: (message) => {
      if (child.connected) child.send(message)
    },
    kill: () => child.kill('SIGKILL'),
  }
}
