import type { Command } from 'commander'
import { askMesh } from './admin-client.ts'
import { fail, type OutputFormat, printList } from './output.ts'
import { MESH_OPTION } from './program.ts'

type Row = Record<string, unknown>

interface Kind {
  columns: string[]
  name(row: Row): string
  /** Adds what the table shows and the answer does not have as such. */
  shown?(row: Row): Row
}

/** What can be listed. */
export const KINDS: Record<string, Kind> = {
  functions: {
    columns: ['function', 'ready', 'desired', 'revision', 'requests', 'host', 'egress', 'failure'],
    name: (row) => `${row.namespace}/${row.name}`,
    shown: (row) => ({ ...row, function: `${row.namespace}/${row.name}` }),
  },
  instances: {
    columns: ['id', 'function', 'state', 'address', 'pid', 'readyAfterMs', 'egress'],
    name: (row) => String(row.id),
  },
  policies: {
    columns: ['kind', 'namespace', 'name', 'source'],
    name: (row) => `${row.kind}/${row.namespace}/${row.name}`,
  },
  engines: {
    columns: ['engine', 'pid', 'connections', 'requests', 'inFlight', 'denied', 'headsRefused'],
    name: (row) => String(row.engine),
    shown: (row) => {
      const counters = (row.counters ?? {}) as Record<string, number>
      return {
        ...row,
        ...counters,
        connections: counters.connectionsOpen,
        inFlight: counters.requestsInFlight,
      }
    },
  },
  nodes: {
    columns: ['node', 'roles', 'address', 'engines'],
    name: (row) => String(row.node),
    shown: (row) => ({
      ...row,
      roles: (row.roles as string[]).join(', '),
      engines: (row.engines as string[]).join(', '),
    }),
  },
  identities: {
    columns: ['principal', 'epoch', 'expires', 'engines'],
    name: (row) => String(row.principal),
    shown: (row) => ({
      ...row,
      expires: new Date(row.notAfter as number).toISOString(),
      engines: (row.engines as string[]).join(', '),
    }),
  },
}

function singular(kind: string): string {
  return kind.replace(/ies$/, 'y').replace(/s$/, '')
}

export function addGet(program: Command): void {
  program
    .command('get')
    .description(`list what a running mesh has: ${Object.keys(KINDS).join(', ')}`)
    .argument('[kind]', Object.keys(KINDS).join(' | '), 'functions')
    .option('-o, --output <format>', 'table, json or name', 'table')
    .option(...MESH_OPTION)
    .addHelpText('after', '\nExamples:\n  mayfly get\n  mayfly get instances -o json')
    .action(async (word: string, options: { output: string; mesh?: string }) => {
      const name = Object.keys(KINDS).find((kind) => kind === word || singular(kind) === word)
      if (!name) fail(`there is no kind ${word}: expected one of ${Object.keys(KINDS).join(', ')}`, 2)
      if (!['table', 'json', 'name'].includes(options.output)) {
        fail(`-o ${options.output}: expected table, json or name`, 2)
      }
      const answer = await askMesh<Row[]>(options.mesh, name)
      if (!answer.ok) fail(answer.message)
      const kind = KINDS[name]!
      const format = options.output as OutputFormat
      const rows = format === 'table' && kind.shown ? answer.value.map(kind.shown) : answer.value
      printList(rows, kind.columns, kind.name, format)
    })
}
