// Runs several real control planes on one real etcd for tests, and what may be asked of them.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Client, createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { EtcdServer } from '../../scripts/etcd.ts'
import { MeshService } from '../../src/control/proto/mayfly/v1/mesh_pb.js'
import { MAIN } from '../start-mesh.ts'

export interface Role {
  name: string
  process: ChildProcess
  /** What it wrote. */
  said: string
}

export interface RunningControlPlane extends Role {
  server: string
  config: string
  client: Client<typeof MeshService>
}

const PATIENCE_MS = 60_000
/** A call that takes longer is given up: the process may be paused. In milliseconds. */
const CALL_MS = 4_000

export class ControlPlanes {
  readonly folder = mkdtempSync(join(tmpdir(), 'mayfly-planes-'))
  readonly planes: RunningControlPlane[] = []
  readonly #roles: Role[] = []
  readonly etcd: EtcdServer

  private constructor(etcd: EtcdServer) {
    this.etcd = etcd
  }

  /** So many, one after the other: the first one leads. */
  static async start(count: number): Promise<ControlPlanes> {
    const started = new ControlPlanes(await EtcdServer.start())
    try {
      for (let i = 0; i < count; i++) await started.startOne(`cp${i}`)
    } catch (error) {
      await started.stop()
      throw error
    }
    return started
  }

  /** Starts one, or again one that was killed, on its port. */
  async startOne(name: string, ...more: string[]): Promise<RunningControlPlane> {
    const data = join(this.folder, name)
    const key = join(this.folder, 'cp0', 'authority.key')
    mkdirSync(data, { recursive: true })
    if (existsSync(key) && name !== 'cp0') copyFileSync(key, join(data, 'authority.key'))
    const ready = join(this.folder, `${name}.json`)
    const before = this.planes.findIndex((plane) => plane.name === name)
    const port = before < 0 ? 0 : new URL(this.planes[before]!.server).port
    rmSync(ready, { force: true })
    const role = this.spawn(name, [
      ...['control-plane', '--store', `etcd://${this.etcd.endpoint}`, '--data', data],
      ...['--listen', `127.0.0.1:${port}`, '--ready-file', ready, ...more],
    ])
    await this.until(`${name} is ready`, () => existsSync(ready) || role.process.exitCode !== null)
    if (role.process.exitCode !== null) throw new Error(`${name} did not start: ${role.said}`)
    const { server, config } = JSON.parse(readFileSync(ready, 'utf8')) as { server: string; config: string }
    const plane = Object.assign(role, { server, config, client: clientOf(server, config) })
    if (before >= 0) this.planes.splice(before, 1)
    this.planes.push(plane)
    return plane
  }

  /** The one that leads, asked until there is one. */
  async leader(): Promise<RunningControlPlane> {
    return this.until('one leads', async () => {
      for (const plane of this.planes) {
        const answer = await plane.client.version({}, { timeoutMs: 1_000 }).catch(() => null)
        if (answer?.leader) return plane
      }
      return null
    })
  }

  /** Starts a node or a gateway that knows all of them. */
  async join(kind: 'node' | 'gateway', name: string, ...more: string[]): Promise<Role> {
    const { client } = await this.leader()
    const { token } = await client.createJoinToken({ role: kind })
    const servers = this.planes.flatMap(({ server }) => ['--server', server])
    const role = this.spawn(name, [
      ...[kind, ...servers, '--token', token, '--name', name, '--data', join(this.folder, name)],
      ...['--engines', '1', ...more],
    ])
    await this.until(`${name} is ready`, () => /is ready/.test(role.said))
    return role
  }

  /** Applies manifests by whichever leads; gives by whom it was acknowledged, or why it was not. */
  async apply(plane: RunningControlPlane, manifest: object): Promise<string> {
    const files = [{ path: 'a.json', text: JSON.stringify(manifest) }]
    const { applied } = await plane.client.apply({ files }, { timeoutMs: CALL_MS })
    return applied[0]!.resourceVersion
  }

  spawn(name: string, words: readonly string[]): Role {
    const child = spawn(process.execPath, ['--no-warnings', MAIN, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const role: Role = { name, process: child, said: '' }
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        role.said = (role.said + text).slice(-20_000)
      })
    }
    this.#roles.push(role)
    return role
  }

  async kill({ process: child }: Role, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exit = once(child, 'exit')
    child.kill(signal)
    await exit
  }

  async until<T>(what: string, ask: () => Promise<T> | T): Promise<NonNullable<T>> {
    const deadline = Date.now() + PATIENCE_MS
    for (;;) {
      const answer = await ask()
      if (answer) return answer as NonNullable<T>
      if (Date.now() > deadline) throw new Error(`it never came to this: ${what}\n${this.log()}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  log(): string {
    return this.#roles.map(({ name, said }) => `--- ${name}\n${said.slice(-3_000)}`).join('\n')
  }

  async stop(): Promise<void> {
    for (const { process: child } of this.#roles) child.kill('SIGCONT')
    const nodes = this.#roles.filter((role) => !this.planes.some((plane) => plane === role))
    await Promise.all(nodes.map((role) => this.kill(role, 'SIGTERM')))
    await Promise.all(this.planes.map((plane) => this.kill(plane)))
    await this.etcd.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

function clientOf(server: string, config: string): Client<typeof MeshService> {
  const { roots, certificate, key } = JSON.parse(readFileSync(config, 'utf8')) as Record<string, string>
  const transport = createConnectTransport({
    baseUrl: server,
    httpVersion: '2',
    nodeOptions: { ca: roots!, cert: certificate!, key: key!, checkServerIdentity: () => undefined },
  })
  return createClient(MeshService, transport)
}
