import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Compartment } from './compartment.ts'
import { runTool } from './system-tool.ts'

const TIMEOUT_MS = 60_000
const STEP_MS = 5
const PORT = 8080

// Takes a connection where most servers listen, then calls a name of the mesh, and ends well if both went well.
const PROGRAM = `
const net = require('node:net')
if (process.getuid() !== Number(process.argv[1])) throw new Error('it is user ' + process.getuid())
net.createServer((socket) => {
  socket.destroy()
  net.connect({ host: 'callee.mesh', port: 80 }).on('error', (error) => {
    console.error('a call to its sidecar: ' + error.message)
    process.exit(1)
  }).on('end', () => process.exit(0)).resume()
}).listen(${PORT}, '127.0.0.1')
setTimeout(() => process.exit(2), ${TIMEOUT_MS}).unref()
`

/** Runs a process as instances are run, reaches it and is called by it, as engines are; gives what did not go well, or null. */
export async function tryCompartment(compartment: Compartment): Promise<string | null> {
  const limited = compartment.limit({
    requests: { cpuMillis: 100, memoryBytes: null },
    limits: { cpuMillis: 4_000, memoryBytes: 512 * 1024 * 1024 },
  })
  if (limited !== null) return limited
  const entered = compartment.enter({
    command: process.execPath,
    args: ['-e', PROGRAM, String(compartment.user)],
    files: [process.execPath],
    cwd: '/',
    environment: { PATH: '/usr/bin:/bin' },
    announcesPort: false,
  })
  if (!entered.ok) return entered.reason
  // The one that waits inside is left to instances: its parts are the same.
  const { command, args, input } = entered.launch
  let isCalled = false
  const sidecar = createServer((socket) => {
    isCalled = true
    socket.end()
  })
  sidecar.listen({ host: compartment.host, port: compartment.port })
  try {
    await once(sidecar, 'listening')
    const over = new AbortController()
    const running = runTool(command, args, input).finally(() => over.abort())
    const isReached = await reach(compartment.address, over.signal)
    const ran = await running
    if (!ran.ok && (isReached || !ran.problem.endsWith('ended with 2')))
      return `a process that is shut in: ${ran.problem}`
    if (!isReached) return `a server that is shut in cannot be reached at ${compartment.address}:${PORT}`
    return isCalled
      ? null
      : `what is shut in cannot reach its sidecar at ${compartment.host}:${compartment.port}`
  } catch (error) {
    return `the sidecar's address: ${(error as Error).message}`
  } finally {
    sidecar.close()
  }
}

/** Connects once somebody listens. */
async function reach(host: string, over: AbortSignal): Promise<boolean> {
  while (!over.aborted) {
    const socket: Socket = connect({ host, port: PORT })
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
      over.addEventListener('abort', () => resolve(false), { once: true })
    })
    socket.destroy()
    if (isOpen) return true
    await delay(STEP_MS)
  }
  return false
}
