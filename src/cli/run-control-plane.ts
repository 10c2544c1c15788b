import { rmSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { ControlPlane } from '../control/control-plane.ts'
import { StoreError } from '../control/store/store.ts'
import { writeCredential } from './cluster-credential.ts'
import { clusterStatus } from './cluster-status.ts'
import { readStorePlace, type StoreOptions } from './etcd-place.ts'
import { explainForMesh } from './explain-for-mesh.ts'
import { type OpenedStore, type OpenStoreOptions, openStore } from './open-store.ts'
import { fail } from './output.ts'
import { formatAddress, parseAddress } from './parse-address.ts'
import { parseDuration } from './parse-duration.ts'
import { LazyQuota, readSharedState, readState } from './quota-source.ts'
import { stopOnSignal } from './stop-on-signal.ts'
import { version } from './version.ts'

export interface ControlPlaneCommandOptions extends StoreOptions {
  listen: string
  data: string
  name: string[]
  state?: string
  sliceIdle: string
  authorityKey?: string
  restore?: string
  readyFile?: string
}

/** How often it is looked whether the administrator's credential has to be written again, in milliseconds. */
const LOOK_MS = 1_000
const LEAST_SLICE_IDLE_MS = 1_000

export async function runControlPlane(options: ControlPlaneCommandOptions): Promise<void> {
  const listen = parseAddress('--listen', options.listen)
  const data = resolve(options.data)
  const place = readStorePlace(options)
  if (!place.ok) fail(place.message, 2)
  const readPlace = place.value.kind === 'file' ? readState : readSharedState
  const state = readPlace(options.state, join(data, 'quota'))
  if (!state.ok) fail(state.message, 2)
  const { readyFile, restore, authorityKey = join(data, 'authority.key') } = options
  if (readyFile !== undefined) rmSync(readyFile, { force: true })
  const sliceIdleMs = parseDuration('--slice-idle', options.sliceIdle)
  if (sliceIdleMs < LEAST_SLICE_IDLE_MS) fail(`--slice-idle ${options.sliceIdle}: at least 1s`, 2)
  const opened = await open({
    place: place.value,
    data,
    authorityKey: resolve(authorityKey),
    notice,
    ...(restore !== undefined && { restore: resolve(restore) }),
  })
  const names = [...new Set([listen.host, 'localhost', '127.0.0.1', hostname(), ...options.name])].filter(
    isName,
  )
  const url = (port: number) => `https://${formatAddress(options.name[0] ?? reachable(listen.host), port)}`
  const plane = await start(opened, {
    ...{ listen, names, url, sliceIdleMs },
    quota: () => new LazyQuota(state.place, notice),
  })
  const server = url(plane.port)
  const adminFile = join(data, 'admin.json')
  await keepAdmin(adminFile, server, plane, opened)
  stopOnSignal(
    (signal) => notice(`${signal}: the control plane ends; nodes go on serving what they hold`),
    async () => {
      await plane.close()
      await opened.close()
    },
  )
  const standing = plane.leads ? '' : ' (it stands by)'
  console.log(`The control plane answers at ${server}${standing}; clients: export MAYFLY_CONFIG=${adminFile}`)
  if (readyFile !== undefined) await writeReady(readyFile, { server, config: adminFile, pid: process.pid })
}

/** Writes the administrator's credential, and again in time, and when another control plane leads. */
async function keepAdmin(
  file: string,
  server: string,
  plane: ControlPlane,
  { authority, leadership }: OpenedStore,
): Promise<void> {
  let written: string | null = null
  let renewAt = 0
  const write = async () => {
    const { leader } = leadership
    if (leader === written && Date.now() < renewAt) return
    written = leader
    renewAt = Date.now() + authority.svidLifetimeMs / 2
    const servers = leader === null || leader === server ? [server] : [server, leader]
    writeCredential(file, { servers, roots: authority.root, ...(await plane.clientIdentity('admin')) })
  }
  await write()
  setInterval(() => void write().catch((error) => notice(`${file}: ${error.message}`)), LOOK_MS)
}

async function start(
  { store, authority, leadership }: OpenedStore,
  parts: {
    listen: { host: string; port: number }
    names: string[]
    url(port: number): string
    quota(): LazyQuota
    sliceIdleMs: number
  },
): Promise<ControlPlane> {
  try {
    return await ControlPlane.start({
      ...parts,
      store,
      authority,
      leadership,
      overrides: {},
      version: version(),
      status: clusterStatus,
      explain: async (mesh, request) => explainForMesh(mesh, request),
      notice,
    })
  } catch (error) {
    if (error instanceof StoreError) fail(error.message)
    const { code, message } = error as NodeJS.ErrnoException
    const where = formatAddress(parts.listen.host, parts.listen.port)
    fail(
      code === 'EADDRINUSE'
        ? `--listen ${where} is in use by another program`
        : `--listen ${where}: ${message}`,
    )
  }
}

async function open(options: OpenStoreOptions): Promise<OpenedStore> {
  try {
    return await openStore(options)
  } catch (error) {
    fail(
      `${options.place.kind === 'file' ? `--data ${options.data}` : '--store'}: ${(error as Error).message}`,
    )
  }
}

async function writeReady(file: string, value: object): Promise<void> {
  const partial = `${file}.${process.pid}.tmp`
  await writeFile(partial, `${JSON.stringify(value)}\n`)
  await rename(partial, file)
  process.on('exit', () => rmSync(file, { force: true }))
}

/** An address by which this machine itself reaches what listens on it. */
function reachable(host: string): string {
  return host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
}

function isName(name: string): boolean {
  return name !== '0.0.0.0' && name !== '::'
}

function notice(text: string): void {
  process.stderr.write(`mayfly: ${text}\n`)
}
