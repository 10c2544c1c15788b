import type { Command } from 'commander'
import { findFunction, keyOf } from './function-name.ts'
import { kindOf, type View } from './kinds.ts'
import {
  type MeshSource,
  openSource,
  SOURCE_HELP,
  SOURCE_OPTIONS,
  type SourceOptions,
} from './mesh-source.ts'
import type { NodeRow } from './node-rows.ts'
import { fail } from './output.ts'
import { parseDuration } from './parse-duration.ts'
import { isRolledOut, rolloutOf, rolloutText } from './readiness.ts'
import { selectResources, selectRows, splitTarget } from './selection.ts'

interface WaitOptions extends SourceOptions {
  for: string
  timeout: string
  namespace?: string
}

/** It is looked so often, in milliseconds. */
const LOOK_MS = 200

/** What is waited for: `is` says whether it is so, or how it is. */
type Look = () => Promise<{ isSo: boolean; how: string }>

export function addWait(program: Command): void {
  program
    .command('wait')
    .description(
      'wait until a function, an instance or a node is ready, a node drained, or something is gone',
    )
    .argument('<kind>', 'function, node, instance or a kind of manifests; KIND/NAME is one of them')
    .argument('[name]', 'NAME or NAMESPACE/NAME')
    .option('--for <condition>', 'ready, drained (a node) or deleted', 'ready')
    .option('--timeout <duration>', 'for how long at most, as in 30s, 5m', '30s')
    .option('-n, --namespace <namespace>', 'where the name is')
    .option(...SOURCE_OPTIONS[0])
    .option(...SOURCE_OPTIONS[1])
    .addHelpText('after', EXAMPLES + SOURCE_HELP)
    .action(wait)
}

const EXAMPLES = `
A function is ready when all instances of its newest revision that are to be there are: none where it is at rest. The status is 0
where it came to that, 1 where it did not in time.

Examples:
  mayfly wait function shop/cart --timeout 1m
  mayfly wait node n1
  mayfly wait node n1 --for drained
  mayfly wait service shop/cart --for deleted
`

async function wait(word: string, named: string | undefined, options: WaitOptions): Promise<void> {
  const target = splitTarget(word, named)
  if (target.name === undefined) fail('say which: KIND NAME (mayfly wait --help)', 2)
  const timeoutMs = parseDuration('--timeout', options.timeout)
  const condition = options.for
  if (!['ready', 'drained', 'deleted'].includes(condition))
    fail(`--for ${condition}: expected ready, drained or deleted`, 2)
  const source = await openSource(options)
  const what = `${target.word} ${target.name}`
  await until(
    await lookAt(source, target.word, target.name, options),
    `${what} to be ${condition}`,
    timeoutMs,
  )
  console.log(`${what} is ${condition}`)
}

/** Looks until it is so; ends the command where it is not in time. */
export async function until(look: Look, what: string, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const { isSo, how } = await look()
    if (isSo) return
    if (Date.now() >= deadline) fail(`waited ${timeoutMs / 1_000} s in vain for ${what}: ${how}`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

async function lookAt(source: MeshSource, word: string, name: string, options: WaitOptions): Promise<Look> {
  const kind = kindOf(word)
  const { namespace } = options
  const selection = { name, ...(namespace !== undefined && { namespace }) }
  if (options.for === 'deleted') {
    const find = () =>
      kind.type === 'view'
        ? selectRows(source, kind, selection)
        : selectResources(source, kind.name, selection)
    return async () => ({ isSo: (await find()).length === 0, how: 'it is there' })
  }
  if (options.for === 'drained') {
    if (kind.name !== 'nodes') fail('--for drained is for nodes', 2)
    return async () => {
      const [row] = await selectRows(source, kind as View, selection)
      const { instances, schedulable } = (row ?? fail(`there is no node ${name}`)) as unknown as NodeRow
      if (schedulable) fail(`node ${name} is not to be drained: mayfly drain ${name}`)
      return { isSo: instances === 0, how: `${instances} instances are on it` }
    }
  }
  if (kind.type === 'view' && (kind.name === 'nodes' || kind.name === 'instances')) {
    return async () => {
      const [row] = await selectRows(source, kind, selection)
      if (row?.state !== 'ready') return { isSo: false, how: row ? `it is ${row.state}` : 'it is not there' }
      const isOpen = kind.name === 'instances' || row.address !== null || row.gateway !== null
      return { isSo: isOpen, how: 'it has no address yet' }
    }
  }
  if (kind.name !== 'functions' && kind.name !== 'Service')
    fail(
      '--for ready is for functions, instances and nodes: other manifests are in force once they are applied',
      2,
    )
  const place = namespace === undefined || name.includes('/') ? name : `${namespace}/${name}`
  const key = keyOf(await findFunction(source, place))
  return async () => {
    const rollout = await rolloutOf(source, key)
    return rollout
      ? { isSo: isRolledOut(rollout), how: rolloutText(rollout) }
      : { isSo: false, how: 'there is no such function' }
  }
}
