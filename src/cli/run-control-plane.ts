import { mkdirSync, rmSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { CertificateAuthority } from '../control/certificate-authority.ts'
import { ControlPlane } from '../control/control-plane.ts'
import { openSqliteStore } from '../control/store/sqlite-store.ts'
import { type Store, StoreError } from '../control/store/store.ts'
import { writeCredential } from './cluster-credential.ts'
import { clusterStatus } from './cluster-status.ts'
import { fail } from './output.ts'
import { formatAddress, parseAddress } from './parse-address.ts'
import { LazyQuota, readState } from './quota-source.ts'
import { stopOnSignal } from './stop-on-signal.ts'
import { version } from './version.ts'

export interface ControlPlaneCommandOptions {
  listen: string
  data: string
  name: string[]
  state?: string
  readyFile?: string
}

export async function runControlPlane(options: ControlPlaneCommandOptions): Promise<void> {
  const listen = parseAddress('--listen', options.listen)
  const data = resolve(options.data)
  const state = readState(options.state, join(data, 'quota'))
  if (!state.ok) fail(state.message, 2)
  const { readyFile } = options
  if (readyFile !== undefined) rmSync(readyFile, { force: true })
  const store = await openStore(data)
  const authority = await openAuthority(join(data, 'authority'))
  const names = [...new Set([listen.host, 'localhost', '127.0.0.1', hostname(), ...options.name])].filter(
    isName,
  )
  const quota = new LazyQuota(state.place, notice)
  const plane = await start({ store, authority, listen, names, quota })
  const servers = [`https://${formatAddress(options.name[0] ?? reachable(listen.host), plane.port)}`]
  const adminFile = join(data, 'admin.json')
  const writeAdmin = async () =>
    writeCredential(adminFile, { servers, roots: authority.root, ...(await plane.clientIdentity('admin')) })
  await writeAdmin()
  setInterval(
    () => void writeAdmin().catch((error) => notice(`${adminFile}: ${error.message}`)),
    authority.svidLifetimeMs / 2,
  )
  stopOnSignal(
    (signal) => notice(`${signal}: the control plane ends; nodes go on serving what they hold`),
    () => plane.close(),
  )
  console.log(`The control plane answers at ${servers[0]}; clients: export MAYFLY_CONFIG=${adminFile}`)
  if (readyFile !== undefined)
    await writeReady(readyFile, { server: servers[0]!, config: adminFile, pid: process.pid })
}

async function start(parts: {
  store: Store
  authority: CertificateAuthority
  listen: { host: string; port: number }
  names: string[]
  quota: LazyQuota
}): Promise<ControlPlane> {
  try {
    return await ControlPlane.start({
      ...parts,
      overrides: {},
      version: version(),
      status: clusterStatus,
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

async function openStore(data: string): Promise<Store> {
  try {
    mkdirSync(data, { recursive: true, mode: 0o700 })
    return await openSqliteStore(join(data, 'store.sqlite'))
  } catch (error) {
    fail(`--data ${data}: ${(error as Error).message}`)
  }
}

async function openAuthority(folder: string): Promise<CertificateAuthority> {
  try {
    return await CertificateAuthority.open({ folder })
  } catch (error) {
    fail(`the certificate authority cannot be used: ${(error as Error).message}`)
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
