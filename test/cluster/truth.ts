// Holds what `mayfly get` says against the processes of this machine, whose nodes are those of one cluster.

import { readdirSync, readFileSync } from 'node:fs'

/** An instance's process, and the node that started it. */
export interface LivingInstance {
  id: string
  function: string
  node: string
  pid: number
}

export interface InstanceRow {
  id: string
  function: string
  state: string
  node: string | null
  pid: number | null
}

export interface FunctionRow {
  namespace: string
  name: string
  ready: number
  requests: number
}

export interface NodeRow {
  node: string
  state: string
  instances: number
  engines: string[]
}

/** What `mayfly get nodes|functions|instances -o json` says. */
export interface Told {
  nodes: NodeRow[]
  functions: FunctionRow[]
  instances: InstanceRow[]
}

/** The processes that the nodes of a cluster run: `nodes` by their names, with their process numbers. */
export function livingInstances(nodes: ReadonlyMap<string, number>): LivingInstance[] {
  const nodeOf = new Map([...nodes].map(([name, pid]) => [pid, name]))
  return processes().flatMap((pid) => {
    const node = nodeOf.get(parentOf(pid))
    const { MAYFLY_INSTANCE: id, MAYFLY_FUNCTION: key } = environmentOf(pid)
    return node === undefined || !id || !key ? [] : [{ id, function: key, node, pid }]
  })
}

/** The nodes whose data are in a folder, with their process numbers. */
export function nodeProcesses(folder: string): Map<string, number> {
  const found = processes().flatMap((pid): [string, number][] => {
    const words = read(`/proc/${pid}/cmdline`).split('\0')
    const data = words[words.indexOf('--data') + 1] ?? ''
    const name = words[words.indexOf('--name') + 1]
    return words.includes('node') && data.startsWith(`${folder}/`) && name ? [[name, pid]] : []
  })
  return new Map(found)
}

/**
 * Where what was told is not what is. `before` and `after` are the processes on both sides of the asking: what began or ended in
 * between may be told or not.
 */
export function differences(
  { nodes, functions, instances }: Told,
  before: readonly LivingInstance[],
  after: readonly LivingInstance[],
): string[] {
  const ever = new Map([...before, ...after].map((one) => [one.id, one]))
  const stayed = new Set(before.map(({ id }) => id).filter((id) => after.some((one) => one.id === id)))
  const told = new Set(instances.map(({ id }) => id))
  const wrong = nodes
    .filter(({ state }) => state !== 'ready')
    .map(({ node, state }) => `node ${node} is said to be ${state}`)
  for (const id of stayed) if (!told.has(id)) wrong.push(`instance ${id} lives and is not told of`)
  for (const { id, state, node, pid, function: key } of instances) {
    const living = ever.get(id)
    if (!living) {
      // One that starts is told of before its process is there.
      if (state === 'ready') wrong.push(`instance ${id} is told of as ready and does not live`)
      continue
    }
    if (living.node !== node) wrong.push(`instance ${id} is on ${living.node}, not on ${node}`)
    if (living.function !== key) wrong.push(`instance ${id} is of ${living.function}, not of ${key}`)
    if (pid !== null && living.pid !== pid) wrong.push(`instance ${id} is process ${living.pid}, not ${pid}`)
  }
  for (const { node, instances: count } of nodes) {
    const own = instances.filter((one) => one.node === node).length
    if (own !== count) wrong.push(`node ${node} is said to have ${count} instances, and ${own} are told of`)
  }
  for (const { namespace, name, ready } of functions) {
    const key = `${namespace}/${name}`
    const own = instances.filter((one) => one.function === key && one.state === 'ready').length
    if (own !== ready)
      wrong.push(`function ${key} is said to have ${ready} ready instances, and ${own} are told of`)
  }
  return wrong
}

/** Differences that two samplings in a row have: the three lists are not of one moment. */
export function lasting(before: readonly string[], now: readonly string[]): string[] {
  return now.filter((one) => before.includes(one))
}

function processes(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

function environmentOf(pid: number): Partial<Record<string, string>> {
  const pairs = read(`/proc/${pid}/environ`)
    .split('\0')
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)])
  return Object.fromEntries(pairs)
}

function parentOf(pid: number): number {
  // The command's name stands in parentheses and may hold anything; the parent is the second field after it.
  return Number(read(`/proc/${pid}/stat`).split(') ').at(-1)?.split(' ')[1])
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
