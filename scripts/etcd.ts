// An etcd server for tests: which program there is, installing one where none is, and running it.
//   node scripts/etcd.ts    installs one where it is missing

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

if (import.meta.main) {
  const problem = installEtcd((line) => console.error(`etcd: ${line}`))
  console.log(problem ?? `etcd: ${etcdProgram()}`)
  process.exitCode = problem === null ? 0 : 1
}

/** The server's path, or null. */
export function etcdProgram(): string | null {
  return ['/usr/bin/etcd', '/usr/local/bin/etcd', '/opt/homebrew/bin/etcd'].find(existsSync) ?? null
}

/** Installs Debian's server where there is none; answers what went wrong, if anything. */
export function installEtcd(say: (line: string) => void): string | null {
  if (etcdProgram() !== null) return null
  if (existsSync('/etc/debian_version') && process.getuid?.() === 0) {
    say('installing etcd-server with apt-get')
    // Several tests may want it at once.
    const wait = ['-o', 'DPkg::Lock::Timeout=120']
    run('apt-get', ['update', '-qq', ...wait], say)
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...wait, 'etcd-server'], say)
  }
  return etcdProgram() === null ? 'no etcd server can be installed here: apt-get install etcd-server' : null
}

export interface EtcdServerOptions {
  /** PEM files: the server's certificate, its key, and what clients must prove themselves by. */
  tls?: { cert: string; key: string; ca: string }
}

/** A server of one member on the loopback address, with its data in a folder of its own; it can be stopped and started again on its port. */
export class EtcdServer {
  readonly port: number
  readonly #peerPort: number
  readonly #options: EtcdServerOptions
  readonly #folder = mkdtempSync(join(tmpdir(), 'mayfly-etcd-'))
  #child: ChildProcess | null = null

  private constructor(port: number, peerPort: number, options: EtcdServerOptions) {
    this.port = port
    this.#peerPort = peerPort
    this.#options = options
  }

  static async start(options: EtcdServerOptions = {}): Promise<EtcdServer> {
    const problem = installEtcd((line) => console.error(`etcd: ${line}`))
    if (problem !== null) throw new Error(problem)
    const server = new EtcdServer(await freePort(), await freePort(), options)
    await server.start()
    return server
  }

  /** "127.0.0.1:PORT" */
  get endpoint(): string {
    return `127.0.0.1:${this.port}`
  }

  /** Resolves when it accepts connections. */
  async start(): Promise<void> {
    const { tls } = this.#options
    const client = `${tls ? 'https' : 'http'}://${this.endpoint}`
    const peer = `http://127.0.0.1:${this.#peerPort}`
    const child = spawn(
      etcdProgram()!,
      [
        ...['--name', 'one', '--data-dir', join(this.#folder, 'data'), '--log-level', 'error'],
        ...['--listen-client-urls', client, '--advertise-client-urls', client],
        ...[
          '--listen-peer-urls',
          peer,
          '--initial-advertise-peer-urls',
          peer,
          '--initial-cluster',
          `one=${peer}`,
        ],
        ...(tls
          ? [
              '--cert-file',
              tls.cert,
              '--key-file',
              tls.key,
              '--trusted-ca-file',
              tls.ca,
              '--client-cert-auth',
            ]
          : []),
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ETCD_UNSUPPORTED_ARCH: 'arm64' } },
    )
    process.once('exit', () => child.kill('SIGKILL'))
    let said = ''
    child.stderr!.on('data', (bytes) => {
      said = (said + bytes).slice(-4_000)
    })
    this.#child = child
    while (!(await accepts(this.port))) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`the etcd server did not start: ${said}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** Kills it; what it has acknowledged is on disk. */
  async stop(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }

  /** It is there and answers nothing. */
  freeze(): void {
    this.#child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  async close(): Promise<void> {
    await this.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function run(command: string, args: string[], say: (line: string) => void): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const ran = spawnSync(command, args, { env, stdio: ['ignore', 2, 2], timeout: 180_000 })
  if (ran.status !== 0)
    say(`${command} ${args.join(' ')} failed (${ran.error?.message ?? `status ${ran.status}`})`)
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
