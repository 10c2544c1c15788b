import type { Command } from 'commander'
import type { AuditRecord } from '../control/resources/audit-log.ts'
import { CONFIG_OPTION, called, meshClient } from './cluster-client.ts'
import { fail, formatTable } from './output.ts'

/** Records that a control plane keeps. */
const MOST = 10_000

export function addAudit(program: Command): void {
  program
    .command('audit')
    .description('who changed what in a mesh over several machines, and when')
    .option('--limit <n>', 'the newest so many', '100')
    .option('-o, --output <format>', 'table or json', 'table')
    .option(...CONFIG_OPTION)
    .addHelpText('after', '\nExample:\n  mayfly audit --limit 10')
    .action(audit)
}

async function audit(options: { limit: string; output: string; config?: string }): Promise<void> {
  const { limit, output, config } = options
  if (output !== 'table' && output !== 'json') fail(`-o ${output}: expected table or json`, 2)
  const most = /^\d{1,5}$/.test(limit) ? Number(limit) : 0
  if (most < 1 || most > MOST) fail(`--limit ${limit}: expected a number from 1 to ${MOST}`, 2)
  const { recordsJson } = await called((await meshClient(config)).listAudit({ limit: most }))
  const records = recordsJson.map((json) => JSON.parse(json) as AuditRecord)
  if (output === 'json') return console.log(JSON.stringify(records, null, 2))
  const rows = records.flatMap(({ time, who, from, changes }) =>
    changes.map(({ kind, namespace, name, action, generation }) => ({
      time,
      who,
      from,
      action,
      kind,
      what: namespace === '' ? name : `${namespace}/${name}`,
      generation: generation || null,
    })),
  )
  console.log(formatTable(rows, ['time', 'who', 'from', 'action', 'kind', 'what', 'generation']))
}
