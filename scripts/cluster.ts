// Starts a cluster on this machine: a control plane, three nodes and a gateway, each in a network namespace of its own where that is
// allowed (root on Linux, with `ip`), else on ports of 127.0.0.1.
//
//   npm run cluster -- [-f MANIFESTS] [--nodes N] [-- COMMAND...]
//
// Runs until it is interrupted, or until COMMAND ends, whose status it takes over; COMMAND finds MAYFLY_CONFIG and MAYFLY_GATEWAY.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { Network } from '../test/chaos/network.ts'

const MAIN = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
/** What a machine that has much else to do takes to start a role, in milliseconds. */
const START_MS = 60_000
const folder = mkdtempSync(join(tmpdir(), 'mayfly-cluster-'))
const CONFIG = join(folder, 'control', 'admin.json')
const network = process.platform === 'linux' && process.getuid?.() === 0 ? Network.open(process.pid) : null
const roles: { name: string; process: ChildProcess }[] = []
let ending: Promise<void> | null = null

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void end(null, 0))
try {
  await run()
} catch (error) {
  await end((error as Error).message, 1)
}

async function run(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { filename: { type: 'string', short: 'f' }, nodes: { type: 'string', default: '3' } },
    allowPositionals: true,
  })
  if (!/^[1-9]\d?$/.test(values.nodes))
    return end(`--nodes ${values.nodes}: expected a number from 1 to 99`, 2)
  say(
    network
      ? 'each role has a network namespace of its own'
      : 'no network namespaces here: ports of 127.0.0.1',
  )
  const ready = join(folder, 'ready.json')
  const control = addMachine('control')
  start('control', [
    ...['control-plane', '--data', join(folder, 'control'), '--ready-file', ready],
    ...['--listen', `${control}:${network ? 7_443 : 0}`],
  ])
  await until('the control plane', () => existsSync(ready))
  const { server } = JSON.parse(readFileSync(ready, 'utf8')) as { server: string }
  const names = Array.from({ length: Number(values.nodes) }, (_, i) => `n${i + 1}`)
  for (const [i, name] of names.entries()) {
    const address = addMachine(name)
    start(name, [
      ...(await joining('node', name, server)),
      ...['--listen', `${address}:0`, '--zone', `zone-${i + 1}`],
    ])
  }
  const outside = addMachine('gateway')
  start('gateway', [
    ...(await joining('gateway', 'gateway', server)),
    ...['--gateway', `${outside}:${network ? 80 : 0}`],
  ])
  for (const name of [...names, 'gateway'])
    await mayfly('wait', 'node', name, '--timeout', `${START_MS / 1_000}s`)
  const { gateway } = JSON.parse(await mayfly('get', 'node', 'gateway', '-o', 'json')) as { gateway: string }
  if (values.filename !== undefined) process.stdout.write(await mayfly('apply', '-f', values.filename))
  say(`the gateway is ${gateway}`)
  say(`export MAYFLY_CONFIG=${CONFIG}    # then: npx mayfly get nodes`)
  if (positionals.length === 0) return
  const [command, ...words] = positionals
  const env = { ...process.env, MAYFLY_CONFIG: CONFIG, MAYFLY_GATEWAY: gateway }
  const [code] = await once(spawn(command!, words, { stdio: 'inherit', env }), 'exit')
  await end(null, code ?? 1)
}

/** Gives the machine's address. */
function addMachine(name: string): string {
  return network?.add(name) ?? '127.0.0.1'
}

async function joining(role: 'node' | 'gateway', name: string, server: string): Promise<string[]> {
  const token = (await mayfly('token', '--role', role)).trim()
  return [role, '--server', server, '--token', token, '--name', name, '--data', join(folder, name)]
}

function start(name: string, words: readonly string[]): void {
  const within = network?.within(name) ?? []
  const [command, ...all] = [...within, process.execPath, '--no-warnings', MAIN, ...words]
  const child = spawn(command!, all, { stdio: ['ignore', 'ignore', 'pipe'] })
  let rest = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop()!
    for (const line of lines) process.stderr.write(`${name}: ${line}\n`)
  })
  child.on('exit', (code, signal) => {
    if (ending === null) void end(`${name} ended by itself (${signal ?? code})`, 1)
  })
  roles.push({ name, process: child })
}

async function mayfly(...words: string[]): Promise<string> {
  const env = { ...process.env, MAYFLY_CONFIG: CONFIG }
  const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', MAIN, ...words], { env })
  return stdout
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  for (const deadline = Date.now() + START_MS; !isSo(); ) {
    if (Date.now() > deadline) throw new Error(`${what} did not come up in ${START_MS / 1_000} s`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

function say(text: string): void {
  console.log(`cluster: ${text}`)
}

/** Ends the roles, the last first, and takes away what was made for them. */
async function end(problem: string | null, status: number): Promise<never> {
  if (problem !== null) process.stderr.write(`cluster: ${problem}\n`)
  ending ??= endRoles()
  // Whoever else wants it to end waits for that as well.
  await ending
  process.exit(status)
}

async function endRoles(): Promise<void> {
  for (const { process: child } of roles.toReversed()) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    await exit
  }
  network?.close()
  rmSync(folder, { recursive: true, force: true })
}
