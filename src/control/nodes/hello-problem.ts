import { isIP } from 'node:net'
import type { EngineUp, Hello, InstanceState } from '../proto/mayfly/v1/nodes_pb.js'
import type { KnownNode } from './node-book.ts'

// What a node says of itself and its engines. A node may be in other hands than it seems: what it says must be its own.

export const MOST_ENGINES = 256
const MOST_INSTANCES = 20_000
const MOST_FUNCTIONS = 100_000
const MOST_HELD = 200_000
/** More than any machine has. */
const MOST_CPUS = 4_096
const MOST_MEMORY = 2 ** 50
const HOST = /^[A-Za-z0-9]([-A-Za-z0-9.]{0,252}[A-Za-z0-9])?$/
const INSTANCE = /^[A-Za-z0-9][-A-Za-z0-9_.]{0,252}$/
const LABEL = /^[-A-Za-z0-9_.]{0,63}$/
const VERSION = /^[-A-Za-z0-9_.+]{0,64}$/

/** What is wrong with a node's first message, or null. */
export function helloProblem({ name, role }: KnownNode, hello: Hello): string | null {
  if (hello.gateway !== (role === 'gateway') || hello.runsInstances !== (role === 'node'))
    return `node ${name} joined as a ${role}, and says that it is something else`
  if (!VERSION.test(hello.version)) return 'its version is no version'
  if (!LABEL.test(hello.zone)) return 'its zone is no name: up to 63 letters, digits, "-", "_" and "."'
  if (!LABEL.test(hello.incarnation) || hello.incarnation === '') return 'its incarnation is no name'
  const address =
    addressProblem(hello.host, hello.port) ?? addressProblem(hello.gatewayHost, hello.gatewayPort)
  if (address !== null) return address
  if (!within(hello.cpus, MOST_CPUS) || !within(hello.memoryBytes, MOST_MEMORY))
    return 'its CPUs or its memory are no numbers that a machine has'
  if (hello.engines.length > MOST_ENGINES) return `it has more than ${MOST_ENGINES} engines`
  if (hello.instances.length > MOST_INSTANCES) return `it has more than ${MOST_INSTANCES} instances`
  const { functions, digests, held } = hello
  if (functions.length > MOST_FUNCTIONS || digests.length > functions.length || held.length > MOST_HELD)
    return 'it holds more than a node can hold'
  for (const engine of hello.engines) {
    const problem = engineProblem(name, engine)
    if (problem !== null) return problem
  }
  for (const instance of hello.instances) {
    const problem = instanceProblem(instance)
    if (problem !== null) return problem
  }
  return null
}

/** What is wrong with an engine of a node: all of them are called NODE-engine-NUMBER, so none is another node's. */
export function engineProblem(node: string, { engine }: Pick<EngineUp, 'engine'>): string | null {
  const number = engine.startsWith(`${node}-engine-`) ? engine.slice(node.length + '-engine-'.length) : ''
  return /^\d{1,12}$/.test(number)
    ? null
    : `${JSON.stringify(engine.slice(0, 100))} is no engine of node ${node}`
}

/** What is wrong with an instance as a node tells of it, or null. */
export function instanceProblem(instance: InstanceState): string | null {
  const { id, state, host, port, startedAt, readyAfterMs } = instance
  if (!INSTANCE.test(id)) return `${JSON.stringify(id.slice(0, 100))} is no id of an instance`
  if (state !== 'starting' && state !== 'ready' && state !== 'stopping')
    return `instance ${id} is in no state that there is`
  if (state === 'ready' && port === 0) return `instance ${id} is ready and has no port`
  if (!Number.isFinite(startedAt) || !Number.isFinite(readyAfterMs)) return `instance ${id} has no times`
  return addressProblem(host, port) ?? egressProblem(instance)
}

function egressProblem({ id, egressUrl }: InstanceState): string | null {
  if (egressUrl === '') return null
  const isUrl = egressUrl.length <= 256 && egressUrl.startsWith('http://') && URL.canParse(egressUrl)
  return isUrl ? null : `instance ${id} has no egress address that is one`
}

function addressProblem(host: string, port: number): string | null {
  if (port > 65_535) return `${port} is no port`
  if (host === '' || isIP(host) !== 0 || HOST.test(host)) return null
  return `${JSON.stringify(host.slice(0, 100))} is no host`
}

function within(value: number, most: number): boolean {
  return Number.isFinite(value) && value >= 0 && value <= most
}
