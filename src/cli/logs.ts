import type { Command } from 'commander'
import type { LogLine } from '../runtime/log-book.ts'
import { findFunction, keyOf } from './function-name.ts'
import { openSource, SOURCE_HELP, SOURCE_OPTIONS, type SourceOptions } from './mesh-source.ts'
import { fail } from './output.ts'

interface LogsOptions extends SourceOptions {
  follow?: boolean
  tail?: string
  output: string
}

/** The most that a call can ask for. */
const MOST_TAIL = 2 ** 31 - 1

export function addLogs(program: Command): void {
  program
    .command('logs')
    .description('print what functions wrote to standard output and standard error')
    .argument('[function]', 'namespace/name, or the name alone; all functions where it is left out')
    .option('-f, --follow', 'go on with new lines as they come')
    .option('--tail <n>', 'begin with the last N lines')
    .option('-o, --output <format>', 'text or json (one object a line)', 'text')
    .option(...SOURCE_OPTIONS[0])
    .option(...SOURCE_OPTIONS[1])
    .addHelpText('after', `\nExamples:\n  mayfly logs -f\n  mayfly logs shop/cart --tail 20\n${SOURCE_HELP}`)
    .action(logs)
}

async function logs(name: string | undefined, options: LogsOptions): Promise<void> {
  if (!['text', 'json'].includes(options.output)) fail(`-o ${options.output}: expected text or json`, 2)
  if (options.tail !== undefined && !/^\d+$/.test(options.tail))
    fail(`--tail ${options.tail}: expected a number`, 2)
  const source = await openSource(options)
  const query = {
    function: name === undefined ? '' : keyOf(await findFunction(source, name)),
    follow: options.follow ?? false,
    tail: options.tail === undefined ? -1 : Math.min(Number(options.tail), MOST_TAIL),
  }
  const print = (line: LogLine) => {
    if (options.output === 'json') return console.log(JSON.stringify(line))
    const time = new Date(line.time).toISOString()
    console.log(`${time} ${line.instance} ${line.stream === 'stdout' ? '' : `${line.stream}: `}${line.text}`)
  }
  const answer = await source.logs(query, print)
  if (!answer.ok) fail(answer.message)
  if (options.follow) process.stderr.write('mayfly: the mesh has ended\n')
}
