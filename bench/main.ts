import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Bench } from './bench.ts'
import { cleanUpOnExit, openChildren } from './children.ts'
import { installPeers } from './install-peers.ts'
import { machineText, noiseText, watchNoise } from './machine.ts'
import { type Row, table } from './row.ts'

const root = join(import.meta.dirname, '..')

// Imported only when asked for: a bench whose subject does not load must not keep the others from running.
const benches: Readonly<Record<string, () => Promise<Bench>>> = {
  sandbox: async () => (await import('./sandbox.ts')).sandbox,
  forward: async () => (await import('./forward.ts')).forward,
  policies: async () => (await import('./policies.ts')).policies,
  ablation: async () => (await import('./ablation.ts')).ablation,
  memory: async () => (await import('./memory.ts')).memory,
  up: async () => (await import('./up.ts')).up,
  'control-plane': async () => (await import('./control-plane/control-plane.ts')).controlPlane,
}

const needPeers = new Set(['forward', 'policies', 'ablation'])

const usage = `usage: npm run bench [-- [NAME...] [--json] [--rounds N] [--out FILE]]
  NAME         ${Object.keys(benches).join(', ')}; all of them by default
  --json       one JSON object a line for each figure, instead of a table
  --rounds N   interleaved rounds, 3 by default; more for a quieter median
  --out FILE   also write the figures and the machine's noise to FILE, as out/bench.json`

type Report = { bench: string; rows: Row[]; noise: string; failure: string | null }

const options = readOptions()
cleanUpOnExit()
const missing = options.names.some((name) => needPeers.has(name)) ? installPeers(say) : []
if (missing.length > 0) say(`missing: ${missing.join(', ')}; what needs them is not measured`)
say(machineText())

const reports: Report[] = []
for (const name of options.names) reports.push(await run(name))
if (options.out !== undefined) write(options.out)
if (!options.json) printTable()
process.exit(reports.some(isIncomplete) ? 1 : 0)

// A goal that is missed is a result; one that could not be measured is not.
function isIncomplete({ failure, rows }: Report): boolean {
  return failure !== null || rows.some(({ goal, median }) => goal !== null && median === null)
}

async function run(name: string): Promise<Report> {
  const noise = watchNoise()
  const children = openChildren()
  const start = performance.now()
  let rows: Row[] = []
  let failure: string | null = null
  try {
    const bench = await benches[name]!()
    rows = await bench({
      rounds: options.rounds,
      children,
      say: (line) => say(`${name}: ${line}`),
      fail: (problem) => {
        failure = problem
        say(`${name}: FAILED: ${problem}`)
      },
    })
  } catch (error) {
    failure = error instanceof Error ? (error.stack ?? error.message) : String(error)
    say(`${name}: FAILED: ${failure}`)
  } finally {
    await children.stopAll()
  }
  const report = { bench: name, rows, noise: noiseText(noise()), failure }
  say(`${name}: ${((performance.now() - start) / 1000).toFixed(0)} s; ${report.noise}`)
  if (options.json) for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`)
  return report
}

function printTable(): void {
  process.stdout.write(`${table(reports.flatMap(({ rows }) => rows))}\n`)
  for (const { bench, noise, failure } of reports) {
    process.stdout.write(`${bench}: ${failure === null ? noise : `FAILED, see above; ${noise}`}\n`)
  }
}

function write(file: string): void {
  mkdirSync(join(file, '..'), { recursive: true })
  writeFileSync(
    file,
    `${JSON.stringify({ machine: machineText(), rounds: options.rounds, reports }, null, 2)}\n`,
  )
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

function readOptions(): { names: string[]; json: boolean; rounds: number; out: string | undefined } {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        rounds: { type: 'string', default: '3' },
        out: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (values.help) {
      process.stdout.write(`${usage}\n`)
      process.exit(0)
    }
    const unknown = positionals.find((name) => !Object.hasOwn(benches, name))
    if (unknown !== undefined) throw new Error(`there is no bench named "${unknown}"`)
    const rounds = Number(values.rounds)
    if (!Number.isInteger(rounds) || rounds < 1 || rounds > 1000) throw new Error('--rounds takes 1 to 1000')
    const names = positionals.length > 0 ? [...new Set(positionals)] : Object.keys(benches)
    return { names, json: values.json, rounds, out: values.out && join(root, values.out) }
  } catch (error) {
    say(`${(error as Error).message}\n${usage}`)
    process.exit(2)
  }
}
