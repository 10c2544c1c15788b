import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import type { BenchRun } from './bench.ts'
import { meshConfig, openToAll, service } from './manifests.ts'
import { type Mesh, startMesh } from './mayfly.ts'
import { commandLine, environment } from './process-tree.ts'
import { distribution, type Goal, measured, type Row } from './row.ts'

const functions = 5
const text = 'started'
const goals: readonly Goal[] = [{ of: 'ratio', atMost: 1.5 }]

/** How soon a mesh of five functions answers, against the bare start of a function's own process. */
export async function up({ rounds, children, say }: BenchRun): Promise<Row[]> {
  const code = join(children.folder, 'function.ts')
  writeFileSync(code, `export default { fetch: () => new Response('${text}') }\n`)
  const names = Array.from({ length: functions }, (_, index) => `f${index}`)
  const manifests = [
    meshConfig({ engines: 1 }),
    ...names.flatMap((name) => [service(name, `file:${code}`), openToAll(name)]),
  ]
  const fromExec: number[] = []
  const ready: number[] = []
  const cold: number[][] = []
  const bare: number[][] = []
  say('warming up')
  // A first start reads files from the disk and may build the guest.
  await children.stop((await startMesh(children, 'up', manifests)).child)
  for (let round = 0; round < rounds; round++) {
    say(`round ${round + 1}/${rounds}`)
    const start = performance.now()
    const mesh = await startMesh(children, 'up', manifests)
    ready.push(performance.now() - start)
    const coldNow: number[] = []
    const bareNow: number[] = []
    for (const [index, name] of names.entries()) {
      const asked = performance.now()
      await answer(mesh.gatewayPort, mesh.host(name))
      coldNow.push(performance.now() - asked)
      if (index === 0) fromExec.push(performance.now() - start)
      bareNow.push(await bareStart(mesh, name))
    }
    await children.stop(mesh.child)
    cold.push(coldNow)
    bare.push(bareNow)
  }
  const started = distribution(bare)
  const baseline = { name: 'bare start', rounds: started.rounds }
  const unit = 'ms'
  return [
    measured({ name: "up: bare start of a function's process", unit, ...started }),
    measured({
      name: 'up: first request to a function at zero',
      unit,
      ...distribution(cold),
      baseline,
      goals,
      note: `${functions} functions a round, so the p99 is the slowest`,
    }),
    measured({ name: 'up: exec of mayfly up to its ready file', unit, rounds: ready, baseline }),
    measured({ name: 'up: exec of mayfly up to the first answer', unit, rounds: fromExec, baseline, goals }),
  ]
}

// The very command and environment that the mesh used for its instance, so that both start the same thing.
async function bareStart(mesh: Mesh, name: string): Promise<number> {
  const instance = mesh.instances().find((pid) => environment(pid).K_SERVICE === name)
  if (instance === undefined) throw new Error(`the function ${name} has answered, but has no process`)
  const [command, ...args] = commandLine(instance)
  const env = environment(instance)
  const start = performance.now()
  const child = spawn(command!, args, { env, stdio: ['ignore', 'ignore', 'inherit', 'pipe'] })
  try {
    // A function's process writes its port to file descriptor 3 when it listens.
    const [port] = (await Promise.race([
      once(child.stdio[3] as NodeJS.ReadableStream, 'data'),
      once(child, 'exit').then(() => Promise.reject(new Error(`${command} ${args.join(' ')} ended at once`))),
    ])) as [Buffer]
    await answer(Number(port.toString()), 'bare')
    return performance.now() - start
  } finally {
    const gone = once(child, 'exit')
    if (child.kill('SIGKILL')) await gone
  }
}

function answer(port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, headers: { host }, agent: false }, async (response) => {
      const body = (await response.toArray()).join('')
      if (response.statusCode === 200 && body === text) resolve()
      else reject(new Error(`${host} answered ${response.statusCode}: ${body.slice(0, 300)}`))
    })
    request.on('error', reject)
  })
}
