// Replays a trace against the cluster that MAYFLY_CONFIG names and whose roles are of this machine, and meanwhile holds what `mayfly
// get nodes|functions|instances -o json` says against the processes that there are:
//
//   npm run cluster -- -- node test/cluster/replayed.ts --trace DIR --minutes 2 --policies nine
//
// Takes the options of `mayfly replay --cluster`. Ends with 1 where an invocation failed or something untrue was said.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { MAIN } from '../start-mesh.ts'
import { differences, lasting, livingInstances, nodeProcesses, type Told } from './truth.ts'

/** Asking costs CPU time that the cluster needs: three commands of about 0.3 s. In milliseconds. */
const PAUSE_MS = 6_000
/** After the last answer the counters of engines come in. In milliseconds. */
const SETTLE_MS = 10_000

const folder = dirname(dirname(process.env.MAYFLY_CONFIG ?? ''))
const nodes = nodeProcesses(folder)
if (nodes.size === 0) throw new Error('MAYFLY_CONFIG names no cluster whose nodes are of this machine')
const { values } = parseArgs({
  args: process.argv.slice(2),
  options: { out: { type: 'string', default: 'out' } },
  strict: false,
})

let samples = 0
let unanswered = 0
let passing = 0
let wrong: string[] = []
let told: Told | null = null
const untrue = new Set<string>()

const replay = spawn(
  process.execPath,
  ['--no-warnings', MAIN, 'replay', '--cluster', ...process.argv.slice(2)],
  { stdio: 'inherit' },
)
const ended = once(replay, 'exit')
let isOver = false
void ended.then(() => {
  isOver = true
})
let most = 0
let counted = 0
while (!isOver) {
  await sample()
  await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, PAUSE_MS))])
}
const [code] = (await ended) as [number | null]
await settled()
const { invocations } = JSON.parse(readFileSync(join(String(values.out), 'summary.json'), 'utf8')) as {
  invocations: { succeeded: number }
}
console.log(
  `get nodes|functions|instances: asked ${samples} times; up to ${most} instances and ${counted} requests (at the last look before they were deleted) were told of, and ${invocations.succeeded} succeeded, ${unanswered} times without an answer; ${passing} differences passed by the next time, ${untrue.size} lasted`,
)
for (const one of untrue) console.log(`UNTRUE: ${one}`)
process.exitCode = code !== 0 || untrue.size > 0 ? 1 : 0

async function sample(): Promise<void> {
  const before = livingInstances(nodes)
  const answers: unknown[] = []
  try {
    for (const kind of ['nodes', 'functions', 'instances']) answers.push(await get(kind))
  } catch (error) {
    unanswered++
    untrue.add(`not answered: ${(error as { stderr?: string }).stderr?.trim() || (error as Error).message}`)
    return
  }
  told = { nodes: answers[0], functions: answers[1], instances: answers[2] } as Told
  const now = differences(told, before, livingInstances(nodes))
  const still = lasting(wrong, now)
  passing += wrong.length - still.length
  for (const one of still) untrue.add(one)
  wrong = now
  samples++
  most = Math.max(most, told.instances.length)
  counted = Math.max(
    counted,
    told.functions.reduce((sum, { requests }) => sum + requests, 0),
  )
}

/** In the end nothing is left of it. */
async function settled(): Promise<void> {
  for (const deadline = Date.now() + SETTLE_MS; Date.now() < deadline; ) {
    await sample()
    if (wrong.length === 0 && told?.instances.length === 0 && livingInstances(nodes).length === 0) return
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  untrue.add(
    `in the end ${told?.instances.length} instances are told of and ${livingInstances(nodes).length} live`,
  )
}

async function get(kind: string): Promise<unknown> {
  const words = ['--no-warnings', MAIN, 'get', kind, '-o', 'json']
  const { stdout } = await promisify(execFile)(process.execPath, words, { maxBuffer: 64 * 1024 * 1024 })
  return JSON.parse(stdout)
}
