import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Client, createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { readCredential } from '../../src/cli/cluster-credential.ts'
import { MeshService } from '../../src/control/proto/mayfly/v1/mesh_pb.js'
import { freePort } from '../e2e/cluster.ts'
import { Disk } from './disk.ts'
import { type FunctionRecord, monotonicMs } from './history.ts'
import { Network } from './network.ts'
import { instanceProcesses, Role } from './role.ts'

export type RoleName = 'control' | 'n1' | 'n2' | 'gateway'

/** Requests at once for an instance of `steady`. */
export const CONCURRENCY = 2
export const QUOTA = { function: 'chaos/limited', requests: 40, windowMs: 10_000 }

const CALL_MS = 3_000
const START_MS = 60_000

/** A control plane, two nodes and a gateway as processes, each on a machine of its own where this process may make such. */
export class Cluster {
  readonly folder = mkdtempSync(join(tmpdir(), 'mayfly-chaos-'))
  readonly roles = new Map<RoleName, Role>()
  /** Null: not available here, so what it is for is left out. */
  readonly network: Network | null
  readonly disk: Disk | null
  /** What roles did that nobody wanted of them. */
  readonly surprises: string[] = []
  gateway = { host: '127.0.0.1', port: 0 }
  #client: Client<typeof MeshService> | null = null

  static async start(): Promise<Cluster> {
    const cluster = new Cluster()
    try {
      await cluster.#start()
    } catch (error) {
      const log = cluster.log().slice(-3_000)
      await cluster.close()
      throw new Error(`the cluster does not start: ${(error as Error).message}\n${log}`)
    }
    return cluster
  }

  private constructor() {
    this.network = Network.open(process.pid)
    this.disk = Disk.open(join(this.folder, 'disk'))
    // Functions may run as other users.
    chmodSync(this.folder, 0o755)
    mkdirSync(join(this.folder, 'log'))
    chmodSync(join(this.folder, 'log'), 0o777)
  }

  /** A call of the control plane's API; rejects where it is not answered in time. */
  async call<T>(
    make: (client: Client<typeof MeshService>, options: { timeoutMs: number }) => Promise<T>,
  ): Promise<T> {
    const client = this.#client ?? this.#connect()
    this.#client = client
    try {
      return await make(client, { timeoutMs: CALL_MS })
    } catch (error) {
      // Its connection may lead nowhere.
      if (this.#client === client) this.#client = null
      throw error
    }
  }

  async status<T>(what: string): Promise<T> {
    return JSON.parse((await this.call((client, options) => client.status({ what }, options))).json)
  }

  /** What the instances wrote down. */
  functionRecords(): FunctionRecord[] {
    return readdirSync(join(this.folder, 'log')).flatMap((name) =>
      readFileSync(join(this.folder, 'log', name), 'utf8')
        .split('\n')
        // A line that a killed instance did not finish says nothing.
        .flatMap((line) => (line.endsWith('}') ? [JSON.parse(line) as FunctionRecord] : [])),
    )
  }

  /** The ids of the instances whose processes live. */
  instances(): string[] {
    return [
      ...new Set(instanceProcesses(`CHAOS_LOG=${this.folder}/log`).map(({ instance }) => instance)),
    ].toSorted()
  }

  /** Adds a line to what the roles have said. */
  note(text: string): void {
    appendFileSync(join(this.folder, 'roles.log'), `chaos: ${monotonicMs().toFixed(0)} ${text}\n`)
  }

  /** What the roles have said. */
  log(): string {
    try {
      return readFileSync(join(this.folder, 'roles.log'), 'utf8')
    } catch {
      return ''
    }
  }

  async close(): Promise<void> {
    for (const role of [...this.roles.values()].toReversed()) await role.kill()
    await this.until('no instance is left', async () => this.instances().length === 0).catch(() => {
      for (const { pid } of instanceProcesses(`CHAOS_LOG=${this.folder}/log`)) process.kill(pid, 'SIGKILL')
    })
    this.network?.close()
    this.disk?.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** Resolves when something is so; rejects after a minute. */
  async until(what: string, isSo: () => Promise<boolean>, timeoutMs = START_MS): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (!(await isSo().catch(() => false))) {
      if (this.surprises.length > 0) throw new Error(this.surprises.join('; '))
      if (performance.now() > deadline) throw new Error(`after ${timeoutMs} ms it is not so that ${what}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  async #start(): Promise<void> {
    const control = await this.#machine('control', 7443)
    const data = this.disk?.folder ?? join(this.folder, 'disk')
    this.#role('control', ['control-plane', '--data', data, '--listen', `${control.host}:${control.port}`])
    this.roles.get('control')!.start()
    const server = `https://${control.host}:${control.port}`
    await this.until('the control plane answers', async () => (await this.status('nodes')) !== null)
    for (const name of ['n1', 'n2'] as const) {
      const { host, port } = await this.#machine(name, 7001)
      this.#role(name, [
        ...['node', '--name', name, '--server', server, '--data', join(this.folder, name)],
        ...['--listen', `${host}:${port}`, '--engines', '1'],
      ])
      this.roles.get(name)!.start('--token', await this.#token('node'))
    }
    this.gateway = await this.#machine('gateway', 8080)
    this.#role('gateway', [
      ...['gateway', '--name', 'gateway', '--server', server, '--data', join(this.folder, 'gateway')],
      ...['--gateway', `${this.gateway.host}:${this.gateway.port}`, '--engines', '2'],
    ])
    this.roles.get('gateway')!.start('--token', await this.#token('gateway'))
    await this.until('all nodes are there', async () => (await this.status<unknown[]>('nodes')).length === 3)
    copyFileSync(new URL('./probe.ts', import.meta.url), join(this.folder, 'probe.ts'))
    const file = join(this.folder, 'manifests.yaml')
    writeFileSync(file, manifests(this.folder))
    const files = [{ path: file, text: readFileSync(file, 'utf8') }]
    await this.call((client, options) => client.apply({ files, dryRun: false }, options))
    await this.until('functions are ready', async () => {
      const functions = await this.status<{ ready: number }[]>('functions')
      return functions.length === 3 && functions.every(({ ready }) => ready > 0)
    })
    await this.until('all roles are ready', async () => (this.log().match(/is ready/g)?.length ?? 0) >= 3)
  }

  /** Where a role listens: on a machine of its own, or at a free port of this one. */
  async #machine(name: RoleName, port: number): Promise<{ host: string; port: number }> {
    if (this.network) return { host: this.network.add(name), port }
    return { host: '127.0.0.1', port: await freePort() }
  }

  #role(name: RoleName, words: string[]): void {
    const log = join(this.folder, 'roles.log')
    const ended = (how: string) => void this.surprises.push(how)
    this.roles.set(name, new Role(name, this.network?.within(name) ?? [], words, log, ended))
  }

  async #token(role: string): Promise<string> {
    const made = await this.call((client, options) =>
      client.createJoinToken({ role, validSeconds: 600 }, options),
    )
    return made.token
  }

  #connect(): Client<typeof MeshService> {
    const read = readCredential(join(this.folder, 'disk', 'admin.json'))
    if (!read.ok) throw new Error(read.message)
    const { servers, roots, certificate, key } = read.credential
    const nodeOptions = { ca: roots, cert: certificate, key, checkServerIdentity: () => undefined }
    return createClient(
      MeshService,
      createConnectTransport({ baseUrl: servers[0]!, httpVersion: '2', nodeOptions }),
    )
  }
}

function manifests(folder: string): string {
  const service = (name: string, annotations: object, concurrency: number) => ({
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name, namespace: 'chaos' },
    spec: {
      template: {
        metadata: { annotations, labels: { app: name } },
        spec: {
          containerConcurrency: concurrency,
          containers: [{ image: 'file:./probe.ts', env: [{ name: 'CHAOS_LOG', value: `${folder}/log` }] }],
        },
      },
    },
  })
  const scale = (min: number, max: number) => ({
    'autoscaling.knative.dev/min-scale': String(min),
    'autoscaling.knative.dev/max-scale': String(max),
  })
  const { requests, windowMs } = QUOTA
  const documents = [
    {
      apiVersion: 'mayfly.dev/v1',
      kind: 'MeshConfig',
      metadata: { name: 'mesh' },
      spec: { defaultAuthorization: 'allow' },
    },
    service('steady', scale(4, 6), CONCURRENCY),
    service('limited', scale(2, 2), 0),
    // Calls it, so that engines of the nodes need slots that the gateway's have.
    service('caller', scale(2, 2), 0),
    {
      apiVersion: 'mayfly.dev/v1',
      kind: 'RateLimitPolicy',
      metadata: { name: 'limit', namespace: 'chaos' },
      spec: {
        selector: { matchLabels: { app: 'limited' } },
        limits: [{ name: 'all', requests, unit: 'second', per: windowMs / 1_000, window: 'sliding' }],
      },
    },
  ]
  return documents.map((one) => JSON.stringify(one)).join('\n---\n')
}
