import type { UsageSample } from './usage-sample.ts'

export const SUBJECTS = ['nodes', 'functions', 'instances'] as const
export type Subject = (typeof SUBJECTS)[number]

type Row = Record<string, unknown>

/** What was used between two samples: CPU in thousandths of a core, memory in bytes, requests a second. The busiest first. */
export function usageRows(
  subject: Subject,
  before: UsageSample,
  now: UsageSample,
): { columns: string[]; rows: Row[] } {
  const seconds = Math.max(0.001, (now.at - before.at) / 1_000)
  switch (subject) {
    case 'nodes':
      return {
        columns: [
          'node',
          'roles',
          'meshCpu',
          'meshMemory',
          'functionsCpu',
          'functionsMemory',
          'instances',
          'requestRate',
          'inFlight',
        ],
        rows: sorted(nodeRows(before, now, seconds), 'functionsCpu'),
      }
    case 'functions':
      return {
        columns: ['function', 'cpu', 'memory', 'instances', 'ready', 'requestRate', 'requests'],
        rows: sorted(functionRows(before, now, seconds), 'cpu'),
      }
    case 'instances':
      return {
        columns: ['instance', 'function', 'node', 'cpu', 'memory'],
        rows: sorted(instanceRows(before, now, seconds), 'cpu'),
      }
  }
}

function nodeRows(before: UsageSample, now: UsageSample, seconds: number): Row[] {
  const earlier = new Map(before.nodes.map((one) => [one.node, one]))
  const instances = instanceRows(before, now, seconds)
  return now.nodes.map(({ node, roles, own, requests, inFlight }) => {
    const there = instances.filter((one) => one.node === node)
    const was = earlier.get(node)
    return {
      node,
      roles: roles.join(', '),
      meshCpu: own === null ? null : millicores(own.cpuMs - (was?.own?.cpuMs ?? own.cpuMs), seconds),
      meshMemory: own?.rssBytes ?? null,
      functionsCpu: sum(there, 'cpu'),
      functionsMemory: sum(there, 'memory'),
      instances: there.length,
      requestRate: rate(requests - (was?.requests ?? requests), seconds),
      inFlight,
    }
  })
}

function functionRows(before: UsageSample, now: UsageSample, seconds: number): Row[] {
  const earlier = new Map(before.functions.map((one) => [one.function, one]))
  const instances = instanceRows(before, now, seconds)
  return now.functions.map(({ function: key, ready, requests }) => {
    const own = instances.filter((one) => one.function === key)
    return {
      function: key,
      cpu: sum(own, 'cpu'),
      memory: sum(own, 'memory'),
      instances: own.length,
      ready,
      requestRate: rate(requests - (earlier.get(key)?.requests ?? requests), seconds),
      requests,
    }
  })
}

interface InstanceRow extends Row {
  function: string
  node: string
  cpu: number
  memory: number
}

/** An instance that was not there before has used all of its CPU time since. */
function instanceRows(before: UsageSample, now: UsageSample, seconds: number): InstanceRow[] {
  const earlier = new Map(before.instances.map(({ id, cpuMs }) => [id, cpuMs]))
  return now.instances.map(({ id, function: key, node, cpuMs, rssBytes }) => ({
    instance: id,
    function: key,
    node,
    cpu: millicores(cpuMs - (earlier.get(id) ?? 0), seconds),
    memory: rssBytes,
  }))
}

/** A process that was started anew has used less than the one before it. */
function millicores(ms: number, seconds: number): number {
  return Math.round(Math.max(0, ms) / seconds)
}

function rate(count: number, seconds: number): number {
  return Math.round((Math.max(0, count) / seconds) * 10) / 10
}

function sum(rows: readonly InstanceRow[], field: 'cpu' | 'memory'): number {
  return rows.reduce((total, row) => total + row[field], 0)
}

function sorted(rows: Row[], by: string): Row[] {
  return rows.toSorted((a, b) => Number(b[by]) - Number(a[by]))
}
