// Runs the real command for end-to-end tests: `mayfly up` as a process of its own, on a folder that the test writes.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export const MAIN = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))

export interface TestMesh {
  process: ChildProcess
  /** The folder of its manifests; `write` changes them while it runs. */
  dir: string
  /** Where its own commands ask it. */
  adminSocket: string
  /** Value of XDG_RUNTIME_DIR with which commands find this mesh and no other. */
  runtimeDir: string
  gateway: string
  port: number
  /** Where its metrics are. */
  metrics: string
  functions: Record<string, { host: string; egress: string }>
  /** Lines that it wrote to standard output (access log and greeting) and standard error so far. */
  stdout: string[]
  stderr: string[]
  write(name: string, text: string): void
  /** Resolves with the first line of standard error (or output) that matches, also one already written. */
  line(stream: 'stdout' | 'stderr', pattern: RegExp): Promise<string>
  stop(): Promise<void>
}

/** Starts a mesh of `files` (name -> text). It is stopped, and its folder removed, by `stop`, which a test must call. */
export async function startTestMesh(files: Record<string, string>, args: string[] = []): Promise<TestMesh> {
  const dir = mkdtempSync(join(tmpdir(), 'mayfly-test-'))
  const state = mkdtempSync(join(tmpdir(), 'mayfly-state-'))
  const readyFile = join(state, 'ready.json')
  const write = (name: string, text: string) => writeFileSync(join(dir, name), text)
  for (const [name, text] of Object.entries(files)) write(name, text)
  const flags = ['--gateway', '127.0.0.1:0', '--metrics', '127.0.0.1:0', '--ready-file', readyFile, ...args]
  const child = spawn(process.execPath, ['--no-warnings', MAIN, 'up', dir, ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, XDG_RUNTIME_DIR: state, XDG_STATE_HOME: state },
  })
  const streams = { stdout: lines(child, 'stdout'), stderr: lines(child, 'stderr') }
  const clean = () => {
    rmSync(dir, { recursive: true, force: true })
    rmSync(state, { recursive: true, force: true })
  }
  const ready = await waitForFile(state, readyFile, child).catch((error: Error) => {
    clean()
    throw new Error(`${error.message}\n${streams.stderr.seen.join('\n')}`)
  })
  return {
    process: child,
    dir,
    runtimeDir: state,
    adminSocket: join(state, `mayfly-${userInfo().uid}`, `${child.pid}.sock`),
    gateway: ready.gateway,
    metrics: ready.metrics,
    port: Number(new URL(ready.gateway).port),
    functions: ready.functions,
    stdout: streams.stdout.seen,
    stderr: streams.stderr.seen,
    write,
    line: (stream, pattern) => streams[stream].find(pattern),
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const exited = once(child, 'exit')
        child.kill('SIGTERM')
        await exited
      }
      clean()
    },
  }
}

/** A function that somebody else serves at `addresses`, and the policies that let everybody call it. */
export function endpointFunction(name: string, addresses: string, namespace = 'test'): string {
  return `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  template:
    spec:
      containers:
        - image: endpoint:${addresses}
`
}

function lines(child: ChildProcess, stream: 'stdout' | 'stderr') {
  const seen: string[] = []
  const waiting = new Set<{ pattern: RegExp; resolve: (line: string) => void }>()
  createInterface(child[stream]!).on('line', (line) => {
    seen.push(line)
    for (const one of waiting) {
      if (!one.pattern.test(line)) continue
      waiting.delete(one)
      one.resolve(line)
    }
  })
  return {
    seen,
    find(pattern: RegExp): Promise<string> {
      const found = seen.find((line) => pattern.test(line))
      if (found !== undefined) return Promise.resolve(found)
      return new Promise((resolve) => waiting.add({ pattern, resolve }))
    },
  }
}

function waitForFile(
  folder: string,
  file: string,
  child: ChildProcess,
): Promise<{
  gateway: string
  metrics: string
  functions: Record<string, { host: string; egress: string }>
}> {
  return new Promise((resolve, reject) => {
    const watcher = watch(folder, () => {
      try {
        const value = JSON.parse(readFileSync(file, 'utf8'))
        watcher.close()
        resolve(value)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') reject(error)
      }
    })
    child.once('exit', (code, signal) => {
      watcher.close()
      reject(new Error(`mayfly up ended (${signal ?? code}) before it was ready`))
    })
  })
}
