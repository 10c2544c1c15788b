import { rmSync } from 'node:fs'
import { rename, rm, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { startAdminServer } from '../control/admin-server.ts'
import { type ManifestFile, watchManifestFolder } from '../control/manifest-folder.ts'
import { adminHandlers } from './admin-handlers.ts'
import { ownSocket } from './admin-socket.ts'
import { addIsolateOptions, type IsolateOptions, isolationFor } from './isolate-option.ts'
import { compileFiles, loadFolder, readProblem } from './load-folder.ts'
import { type ServedMetrics, serveMetrics } from './mesh-metrics.ts'
import { MOST_NODES, type NodeOptions } from './node-plans.ts'
import { fail, formatTable } from './output.ts'
import { parseAddress } from './parse-address.ts'
import { LazyQuota, readState, stateFolder } from './quota-source.ts'
import { releaseMemorySoon } from './release-memory.ts'
import { type ConfigOverrides, defaultEngines, type RunningMesh, startMesh } from './running-mesh.ts'
import { startEnginesAhead } from './spawn-engine.ts'
import { stopOnSignal } from './stop-on-signal.ts'

interface UpOptions extends IsolateOptions {
  gateway: string
  defaultAuthorization?: 'allow' | 'deny'
  readyFile?: string
  engines?: string
  metrics?: string
  nodes?: string
  authority?: string
  certificateLifetime?: string
  state?: string
}

export function addUp(program: Command): void {
  const command = program
    .command('up')
    .description(
      'run a whole mesh on this machine from a folder of manifests; changed manifests are applied live',
    )
    .argument('[dir]', 'folder (or file) of manifests', '.')
    .option(
      '--gateway <addr:port>',
      'where clients reach the functions; port 0: any free one',
      '127.0.0.1:8080',
    )
    .option(
      '--default-authorization <action>',
      'for functions without an ALLOW policy: deny or allow (above MeshConfig)',
    )
    .option('--engines <n>', 'engines that share the traffic, for each node (above MeshConfig)')
    .option(
      '--nodes <n>',
      'nodes that speak mutual TLS with each other: the gateway is one of its own, functions run on the others; 1: no division',
      '1',
    )
    .option(
      '--authority <dir>',
      'where the keys of the certificate authority are kept (default: in memory, while the mesh runs)',
    )
    .option(
      '--certificate-lifetime <seconds>',
      'how long a certificate of a workload is valid; at half of it a new one is made',
      '86400',
    )
    .option(
      '--metrics <addr:port>',
      `where Prometheus reads metrics, or off; port 0: any free one (default: ${METRICS_ADDRESS})`,
    )
    .option(
      '--state <place>',
      'where it is kept what rate limits let through: a folder, or redis://HOST:PORT of a Valkey or Redis server that several meshes share (default: a folder of its own below ~/.local/state/mayfly)',
    )
    .option('--ready-file <file>', 'written as JSON once traffic is accepted')
    .addHelpText('after', EXAMPLES)
    .action(up)
  addIsolateOptions(command, 'off')
}

/** The port at which Istio's agents serve the metrics of a pod. */
const METRICS_ADDRESS = '127.0.0.1:15020'

const EXAMPLES = `
Examples:
  mayfly up examples/shop
  mayfly up . --gateway 0.0.0.0:80
  mayfly up . --nodes 3
  mayfly up . --metrics 0.0.0.0:9090
  mayfly up . --gateway 127.0.0.1:0 --ready-file /tmp/ready.json`

async function up(dir: string, options: UpOptions): Promise<void> {
  const gateway = parseAddress('--gateway', options.gateway)
  const metricsAddress =
    options.metrics === 'off' ? null : parseAddress('--metrics', options.metrics ?? METRICS_ADDRESS)
  const overrides = parseOverrides(options)
  const division = parseDivision(options)
  const state = readState(options.state, stateFolder(dir))
  if (!state.ok) fail(state.message, 2)
  const { readyFile } = options
  // A mesh serves on when nobody reads any more what it says.
  process.stdout.removeAllListeners('error').on('error', () => {})
  if (readyFile !== undefined) await removeStale(readyFile)
  // They start while manifests are read; how many there are to be, only those say.
  const ahead = division.nodes === 1 ? startEnginesAhead('mesh', overrides.engines ?? defaultEngines()) : null
  const loaded = await loadFolder([dir], overrides)
  if (!loaded.ok) fail(`nothing was started:\n${loaded.errors.map((line) => `  ${line}`).join('\n')}`)
  const socket = ownSocket()
  if (!socket.ok) fail(socket.message)
  const quota = new LazyQuota(state.place, notice)
  await quota.begin([...loaded.mesh.functions.values()].flatMap(({ quotaLimits }) => quotaLimits))
  const isolation = await isolationFor(options, notice)
  const started = await startMesh(
    loaded.mesh,
    gateway,
    'mesh',
    notice,
    division,
    quota,
    isolation,
    ahead?.spawn,
  )
  ahead?.endRest()
  if (!started.ok) fail(started.message)
  const { running } = started
  const clean = () => {
    rmSync(socket.value, { force: true })
    if (readyFile !== undefined) rmSync(readyFile, { force: true })
  }
  process.on('exit', clean)
  const metrics = metricsAddress && (await metricsAt(running, metricsAddress, options.metrics !== undefined))
  const admin = await startAdminServer(
    socket.value,
    adminHandlers(running, { manifests: resolve(dir), overrides }),
  )
  let modules = loaded.modules ?? []
  const watcher = watchManifestFolder(
    dir,
    loaded.files,
    {
      changed: (files) => {
        modules = apply(running, dir, files, overrides) ?? modules
      },
      unreadable: (error) => keepLast([readProblem(dir, error)]),
    },
    () => modules,
  )
  stopOnSignal(
    (signal) =>
      notice(`${signal}: requests under way may end, new connections are refused; again to end at once`),
    async () => {
      watcher.close()
      admin.close()
      admin.closeAllConnections()
      metrics?.close()
      await running.mesh.stop()
    },
  )
  if (readyFile !== undefined) {
    await writeReadyFile(readyFile, running, metrics?.url ?? null).catch((error) =>
      fail(`--ready-file ${readyFile}: ${error.message}`),
    )
  }
  greet(running)
  if (metrics) console.log(`Prometheus reads metrics at ${metrics.url}`)
  releaseMemorySoon()
}

/** Gives the modules that are to be watched from now on. */
function apply(
  running: RunningMesh,
  dir: string,
  files: readonly ManifestFile[],
  overrides: ConfigOverrides,
): string[] | undefined {
  const startedAt = performance.now()
  const compiled = compileFiles(dir, files, overrides)
  if (!compiled.ok) {
    keepLast(compiled.errors)
    return compiled.modules
  }
  running.mesh.apply(compiled.mesh)
  releaseMemorySoon()
  notice(`applied ${dir} in ${Math.round(performance.now() - startedAt)} ms`)
  return compiled.modules
}

function keepLast(errors: readonly string[]): void {
  const lines = errors.map((line) => `  ${line}`).join('\n')
  notice(`the changed manifests are not applied, the last good ones stay in force:\n${lines}`)
}

/** One that an earlier mesh left would tell a waiting script that this one is ready. */
async function removeStale(readyFile: string): Promise<void> {
  try {
    await rm(readyFile, { force: true })
    await writeFile(`${readyFile}.${process.pid}.tmp`, '')
    await rm(`${readyFile}.${process.pid}.tmp`)
  } catch (error) {
    fail(`--ready-file ${readyFile}: it cannot be written: ${(error as Error).message}`, 2)
  }
}

async function writeReadyFile(path: string, { mesh }: RunningMesh, metrics: string | null): Promise<void> {
  const functions = Object.fromEntries(
    [...mesh.compiled.functions.values()].map(({ spec }) => {
      const { domain } = mesh.compiled.config
      return [
        spec.key,
        { host: `${spec.name}.${spec.namespace}.${domain}`, egress: mesh.egressUrl(spec.key) },
      ]
    }),
  )
  // A reader never sees half a file.
  const partial = `${path}.${process.pid}.tmp`
  await writeFile(partial, `${JSON.stringify({ gateway: mesh.gateway, metrics, functions }, null, 2)}\n`)
  await rename(partial, path)
}

function greet({ mesh }: RunningMesh): void {
  const { port } = new URL(mesh.gateway)
  const { config } = mesh.compiled
  const rows = [...mesh.compiled.functions.values()].map(({ spec }) => ({
    function: spec.key,
    url: spec.clusterLocal ? null : `http://${spec.name}.${spec.namespace}.${config.domain}:${port || 80}/`,
    callsFrom: mesh.egressUrl(spec.key),
  }))
  console.log(`The mesh is up: gateway ${mesh.gateway}, ${mesh.engines().length} engines.`)
  if (rows.length > 0) console.log(formatTable(rows, ['function', 'url', 'callsFrom']))
  if (config.defaultAuthorization === 'deny') {
    console.log(
      'What no AuthorizationPolicy allows is denied; `mayfly allow CALLER CALLEE` prints one that allows it.',
    )
  }
}

/** Metrics that nobody asked for by their address do not keep a mesh from running: another one may have it. */
async function metricsAt(
  running: RunningMesh,
  address: { host: string; port: number },
  isAsked: boolean,
): Promise<ServedMetrics | null> {
  try {
    return await serveMetrics(running, address)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const where = `${address.host}:${address.port}`
    const problem = code === 'EADDRINUSE' ? `${where} is in use by another program` : message
    if (!isAsked) {
      notice(`metrics are not served: ${problem}; choose another address with --metrics, or --metrics off`)
      return null
    }
    await running.mesh.stop()
    fail(`--metrics ${where}: ${problem}`)
  }
}

function parseOverrides(options: UpOptions): ConfigOverrides {
  const overrides: ConfigOverrides = {}
  const { defaultAuthorization, engines } = options
  if (defaultAuthorization !== undefined) {
    if (defaultAuthorization !== 'allow' && defaultAuthorization !== 'deny') {
      fail(`--default-authorization ${defaultAuthorization}: expected allow or deny`, 2)
    }
    overrides.defaultAuthorization = defaultAuthorization
  }
  if (engines !== undefined) {
    if (!/^\d{1,3}$/.test(engines) || Number(engines) < 1)
      fail(`--engines ${engines}: expected a number from 1 on`, 2)
    overrides.engines = Number(engines)
  }
  return overrides
}

function parseDivision(options: UpOptions): NodeOptions {
  const { nodes = '1', authority, certificateLifetime = '86400' } = options
  if (!/^\d{1,2}$/.test(nodes) || Number(nodes) < 1 || Number(nodes) > MOST_NODES)
    fail(`--nodes ${nodes}: expected a number from 1 to ${MOST_NODES}`, 2)
  if (!/^\d{1,8}$/.test(certificateLifetime) || Number(certificateLifetime) < 2)
    fail(`--certificate-lifetime ${certificateLifetime}: expected a number of seconds from 2 on`, 2)
  return {
    nodes: Number(nodes),
    authorityFolder: authority ?? null,
    certificateLifetimeMs: Number(certificateLifetime) * 1_000,
  }
}

function notice(text: string): void {
  process.stderr.write(`mayfly: ${text}\n`)
}
