// Runs the real roles for tests: a control plane, nodes and a gateway, each a process of its own on ports of its own.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MAIN } from '../start-mesh.ts'

export interface Ran {
  code: number | null
  stdout: string
  stderr: string
}

/** A role's process and what it wrote. */
export interface Role {
  readonly name: string
  readonly process: ChildProcess
  readonly lines: string[]
  /** The first line that matches, also one already written. */
  line(pattern: RegExp): Promise<string>
  kill(signal?: NodeJS.Signals): Promise<void>
}

/** A command that takes longer has hung. In milliseconds. */
const COMMAND_MS = 60_000
/** What is waited for comes within this time, however busy the machine is. In milliseconds. */
export const PATIENCE_MS = 60_000

export class TestCluster {
  readonly folder = mkdtempSync(join(tmpdir(), 'mayfly-cluster-'))
  readonly roles = new Map<string, Role>()
  server = ''
  /** The configuration of the control plane's own client. */
  readonly admin = join(this.folder, 'cp', 'admin.json')
  #gateway = ''

  static async start(): Promise<TestCluster> {
    const cluster = new TestCluster()
    try {
      await cluster.startControlPlane()
    } catch (error) {
      await cluster.stop()
      throw error
    }
    return cluster
  }

  /** Where its gateway takes requests: "http://127.0.0.1:PORT". */
  get gateway(): string {
    return this.#gateway
  }

  async startControlPlane(...more: string[]): Promise<void> {
    const ready = join(this.folder, 'control-plane.json')
    rmSync(ready, { force: true })
    const port = this.server === '' ? 0 : new URL(this.server).port
    this.#start('control-plane', [
      ...['control-plane', '--data', join(this.folder, 'cp'), '--listen', `127.0.0.1:${port}`],
      ...['--ready-file', ready, ...more],
    ])
    await this.until('the control plane is ready', () => existsSync(ready))
    this.server = (JSON.parse(readFileSync(ready, 'utf8')) as { server: string }).server
  }

  async startNode(name: string, ...more: string[]): Promise<Role> {
    const role = await this.#join('node', name, ['--engines', '1', ...more])
    await role.line(/is ready/)
    return role
  }

  async startGateway(name = 'gateway'): Promise<Role> {
    const role = await this.#join('gateway', name, ['--engines', '1', '--gateway', '127.0.0.1:0'])
    this.#gateway = /http:\S+/.exec(await role.line(/gateway http:/))![0]
    await role.line(/is ready/)
    return role
  }

  async #join(kind: 'node' | 'gateway', name: string, more: string[]): Promise<Role> {
    const { stdout } = await this.ok('token', '--role', kind)
    return this.#start(name, [
      ...[kind, '--server', this.server, '--token', stdout.trim(), '--name', name],
      ...['--data', join(this.folder, name), ...more],
    ])
  }

  /** Writes a file into the cluster's folder and gives its path. */
  write(name: string, text: string): string {
    const file = join(this.folder, name)
    writeFileSync(file, text)
    return file
  }

  /** Runs a command as the admin to its end. */
  run(...words: string[]): Promise<Ran> {
    return this.runAs(this.admin, words)
  }

  /** The same, which must succeed. */
  async ok(...words: string[]): Promise<Ran> {
    const ran = await this.run(...words)
    if (ran.code === 0) return ran
    throw new Error(`mayfly ${words.join(' ')} ended with ${ran.code}: ${ran.stderr}${ran.stdout}`)
  }

  async json<T>(...words: string[]): Promise<T> {
    return JSON.parse((await this.ok(...words, '-o', 'json')).stdout) as T
  }

  runAs(config: string | null, words: readonly string[], input = ''): Promise<Ran> {
    const child = this.spawn(words, config)
    const ran: Ran = { code: null, stdout: '', stderr: '' }
    child.stdout!.setEncoding('utf8').on('data', (text) => {
      ran.stdout += text
    })
    child.stderr!.setEncoding('utf8').on('data', (text) => {
      ran.stderr += text
    })
    child.stdin!.on('error', () => {}).end(input)
    return new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code) => resolve({ ...ran, code }))
    })
  }

  /** Starts a command that goes on; the caller ends it. */
  spawn(words: readonly string[], config: string | null = this.admin): ChildProcess {
    const { MAYFLY_CONFIG: _, ...environment } = process.env
    return spawn(process.execPath, ['--no-warnings', MAIN, ...words], {
      env: {
        ...environment,
        // So that no mesh and no configuration of this machine is found.
        XDG_RUNTIME_DIR: this.folder,
        XDG_CONFIG_HOME: join(this.folder, 'none'),
        ...(config === null ? {} : { MAYFLY_CONFIG: config }),
      },
      timeout: COMMAND_MS,
    })
  }

  /** Asks again and again until it is so. */
  async until<T>(what: string, ask: () => Promise<T> | T): Promise<NonNullable<T>> {
    const deadline = Date.now() + PATIENCE_MS
    for (;;) {
      const answer = await ask()
      if (answer) return answer as NonNullable<T>
      if (Date.now() > deadline) throw new Error(`it never came to this: ${what}\n${this.log()}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  /** What all roles wrote last, for a failed test. */
  log(): string {
    return [...this.roles.values()]
      .flatMap(({ name, lines }) => lines.slice(-20).map((line) => `${name}: ${line}`))
      .join('\n')
  }

  async stop(): Promise<void> {
    // Nodes first: they end what they have started.
    const roles = [...this.roles.values()].toReversed()
    await Promise.all(roles.map((role) => role.kill('SIGTERM')))
    rmSync(this.folder, { recursive: true, force: true })
  }

  #start(name: string, words: readonly string[]): Role {
    const child = spawn(process.execPath, ['--no-warnings', MAIN, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const lines: string[] = []
    const waiting = new Set<() => void>()
    for (const stream of [child.stdout!, child.stderr!]) {
      let rest = ''
      stream.setEncoding('utf8').on('data', (text: string) => {
        const parts = (rest + text).split('\n')
        rest = parts.pop()!
        lines.push(...parts)
        for (const look of waiting) look()
      })
    }
    child.on('exit', () => {
      for (const look of waiting) look()
    })
    const role: Role = {
      name,
      process: child,
      lines,
      line: (pattern) =>
        new Promise((resolve, reject) => {
          const look = () => {
            const found = lines.find((line) => pattern.test(line))
            if (found === undefined && child.exitCode === null && child.signalCode === null) return
            waiting.delete(look)
            if (found !== undefined) resolve(found)
            else reject(new Error(`${name} ended without saying ${pattern}:\n${lines.join('\n')}`))
          }
          waiting.add(look)
          look()
        }),
      async kill(signal = 'SIGKILL') {
        if (child.exitCode !== null || child.signalCode !== null) return
        const exit = once(child, 'exit')
        child.kill(signal)
        await exit
      },
    }
    this.roles.set(name, role)
    return role
  }
}
