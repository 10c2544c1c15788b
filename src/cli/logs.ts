import type { Command } from 'commander'
import type { LogLine } from '../runtime/log-book.ts'
import { followMesh } from './admin-client.ts'
import { findFunction, keyOf } from './function-name.ts'
import { fail } from './output.ts'
import { MESH_OPTION } from './program.ts'

interface LogsOptions {
  follow?: boolean
  tail?: string
  output: string
  mesh?: string
}

export function addLogs(program: Command): void {
  program
    .command('logs')
    .description('print what functions wrote to standard output and standard error')
    .argument('[function]', 'namespace/name, or the name alone; all functions where it is left out')
    .option('-f, --follow', 'go on with new lines as they come')
    .option('--tail <n>', 'begin with the last N lines')
    .option('-o, --output <format>', 'text or json (one object a line)', 'text')
    .option(...MESH_OPTION)
    .addHelpText('after', '\nExamples:\n  mayfly logs -f\n  mayfly logs shop/cart --tail 20')
    .action(logs)
}

async function logs(name: string | undefined, options: LogsOptions): Promise<void> {
  if (!['text', 'json'].includes(options.output)) fail(`-o ${options.output}: expected text or json`, 2)
  if (options.tail !== undefined && !/^\d+$/.test(options.tail))
    fail(`--tail ${options.tail}: expected a number`, 2)
  const query = new URLSearchParams()
  if (name !== undefined) query.set('function', keyOf(await findFunction(options.mesh, name)))
  if (options.follow) query.set('follow', 'true')
  if (options.tail) query.set('tail', options.tail)
  const print = (line: LogLine) => {
    if (options.output === 'json') return console.log(JSON.stringify(line))
    const time = new Date(line.time).toISOString()
    console.log(`${time} ${line.instance} ${line.stream === 'stdout' ? '' : `${line.stream}: `}${line.text}`)
  }
  const answer = await followMesh(options.mesh, `logs?${query}`, print)
  if (!answer.ok) fail(answer.message)
  if (options.follow) process.stderr.write('mayfly: the mesh has ended\n')
}
