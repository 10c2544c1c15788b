import type { Command } from 'commander'
import {
  answered,
  type MeshSource,
  openSource,
  SOURCE_HELP,
  SOURCE_OPTIONS,
  type SourceOptions,
} from './mesh-source.ts'
import { fail, formatTable } from './output.ts'
import { parseDuration } from './parse-duration.ts'
import { SUBJECTS, type Subject, usageRows } from './usage-rows.ts'
import type { UsageSample } from './usage-sample.ts'

interface TopOptions extends SourceOptions {
  output: string
  interval: string
  once?: boolean
}

export function addTop(program: Command): void {
  program
    .command('top')
    .description('what nodes and functions use: CPU, memory, requests; live in a terminal, else once')
    .argument('[subject]', SUBJECTS.join(' | '), 'functions')
    .option(
      '--interval <duration>',
      'what CPU and requests are averaged over, and how often it is shown',
      '2s',
    )
    .option('--once', 'show it once')
    .option('-o, --output <format>', 'table or json (once)', 'table')
    .option(...SOURCE_OPTIONS[0])
    .option(...SOURCE_OPTIONS[1])
    .addHelpText('after', EXAMPLES + SOURCE_HELP)
    .action(top)
}

const EXAMPLES = `
CPU is in thousandths of a core. Of a node, "mesh" is what Mayfly itself uses there, "functions" what its instances use; memory that
processes share counts for each of them.

Examples:
  mayfly top
  mayfly top nodes -o json
  mayfly top instances --interval 10s --once
`

const CLEAR = '\x1b[H\x1b[2J'

async function top(word: string, options: TopOptions): Promise<void> {
  const subject = SUBJECTS.find((one) => one === word || one === `${word}s`)
  if (!subject) fail(`there is no top ${word}: expected ${SUBJECTS.join(', ')}`, 2)
  if (options.output !== 'table' && options.output !== 'json')
    fail(`-o ${options.output}: expected table or json`, 2)
  const intervalMs = parseDuration('--interval', options.interval)
  if (intervalMs < 100) fail(`--interval ${options.interval}: expected 100ms or more`, 2)
  const source = await openSource(options)
  const isLive = !options.once && options.output === 'table' && process.stdout.isTTY
  let before = await sample(source)
  do {
    await new Promise((resolve) => setTimeout(resolve, intervalMs))
    const now = await sample(source)
    show(subject, before, now, options.output, isLive)
    before = now
  } while (isLive)
}

async function sample(source: MeshSource): Promise<UsageSample> {
  return answered(await source.status<UsageSample>('sample'))
}

function show(
  subject: Subject,
  before: UsageSample,
  now: UsageSample,
  output: string,
  isLive: boolean,
): void {
  const { columns, rows } = usageRows(subject, before, now)
  if (output === 'json') return console.log(JSON.stringify(rows, null, 2))
  const table = formatTable(
    rows.map((row) => ({ ...row, ...shownMemory(row) })),
    columns,
  )
  if (isLive) process.stdout.write(`${CLEAR}${new Date(now.at).toISOString()}  ${subject}\n\n${table}\n`)
  else console.log(table)
}

/** Memory as people read it; JSON has bytes. */
function shownMemory(row: Record<string, unknown>): Record<string, string> {
  const bytes = Object.entries(row).filter(
    ([name, value]) => /[mM]emory$/.test(name) && typeof value === 'number',
  )
  return Object.fromEntries(
    bytes.map(([name, value]) => [name, `${((value as number) / 1_048_576).toFixed(1)} MiB`]),
  )
}
