import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { pause } from './children.ts'
import { residentBytes } from './process-tree.ts'
import { median } from './statistics.ts'

export type Resident = { readonly standing: number; readonly settled: number }

/** Makes Node processes give back their garbage, so that what is resident is what they hold. */
export type Settler = {
  /** The environment by which a process, and those that it starts, obey. */
  readonly environment: Readonly<Record<string, string>>
  /** Threads that obey now. */
  threads(): number
  /** Resident bytes of `processes` as they stand, and after garbage has been collected everywhere. */
  residentBytes(processes: () => number[]): Promise<Resident>
  close(): void
}

const readings = 5
const betweenReadings = 200
const answerMilliseconds = 10_000

/** Opens the socket at which collect-garbage.mjs, loaded into every process, waits for the word. */
export async function openSettler(): Promise<Settler> {
  const threads = new Set<Socket>()
  const server = createServer((socket) => {
    threads.add(socket)
    socket.on('close', () => threads.delete(socket)).on('error', () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const preload = pathToFileURL(join(import.meta.dirname, 'collect-garbage.mjs')).href
  return {
    environment: { NODE_OPTIONS: `--import=${preload}`, MAYFLY_BENCH_SETTLE_PORT: String(port) },
    threads: () => threads.size,
    async residentBytes(processes) {
      const standing = await steadyBytes(processes)
      for (let round = 0; round < 2; round++) {
        await Promise.all([...threads].map(collect))
        await pause(betweenReadings)
      }
      return { standing, settled: await steadyBytes(processes) }
    },
    close() {
      for (const socket of threads) socket.destroy()
      server.close()
    },
  }
}

async function steadyBytes(processes: () => number[]): Promise<number> {
  const bytes: number[] = []
  for (let reading = 0; reading < readings; reading++) {
    await pause(betweenReadings)
    bytes.push(residentBytes(processes()))
  }
  return median(bytes)
}

// One byte asks, one byte says that it is done. A thread that has ended, or hangs, is not waited for.
function collect(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, answerMilliseconds)
    const done = () => {
      clearTimeout(timer)
      resolve()
    }
    socket.once('data', done).once('close', done)
    socket.write('?')
  })
}
