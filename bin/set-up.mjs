// Brings a checkout into a state in which it runs: dependencies, the pinned Node, the sidecar guest. Whatever is there
// already costs a look at some files. Like the launcher, it must run on any Node from 20 on.
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { withLock } from './lock.mjs'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
const oldestNode = 26
/** Lets `npx mayfly` find this project's own command like any installed one, so that it asks no registry. */
const command = join(root, 'node_modules', '.bin', 'mayfly')

/** `{ok: true, node}`, the program that runs this project, or `{ok: false, message}`. */
export function setUp() {
  if (!dependenciesAreCurrent() || !existsSync(command) || !guestIsCurrent()) {
    const problem = withLock(join(root, '.set-up.lock'), install)
    if (problem) return { ok: false, message: problem }
  }
  return findNode()
}

/** Another process may have done it all while this one waited for the lock. Answers what went wrong, if anything. */
function install() {
  if (!dependenciesAreCurrent()) {
    const problem = installDependencies()
    if (problem) return problem
  }
  linkCommand()
  if (guestIsCurrent()) return null
  const found = findNode()
  return found.ok ? buildGuest(found.node) : found.message
}

function installDependencies() {
  process.stderr.write('mayfly: installing dependencies (npm ci) ...\n')
  // The guest is built with a development dependency, whatever NODE_ENV or npm's own settings leave out.
  const args = ['ci', '--include=dev', '--include=optional', '--no-fund', '--no-audit']
  const npm = spawnSync('npm', args, { cwd: root, stdio: ['ignore', 2, 2] })
  if (npm.error) return `cannot run npm to install dependencies: ${npm.error.message}: install npm first`
  return npm.status === 0 ? null : 'npm ci failed; its output is above'
}

/** npm's own note of what it has installed is newer than the lock file, or says the same. */
function dependenciesAreCurrent() {
  const installed = join(root, 'node_modules', '.package-lock.json')
  const wanted = join(root, 'package-lock.json')
  if (!existsSync(installed)) return false
  if (modifiedAt(installed) >= modifiedAt(wanted)) return true
  // A checkout or a copy gives files new times: what they say decides.
  const has = JSON.parse(readFileSync(installed, 'utf8')).packages
  const wants = JSON.parse(readFileSync(wanted, 'utf8')).packages
  const same = Object.entries(wants).every(
    ([path, { version, optional }]) => path === '' || (has[path] ? has[path].version === version : optional),
  )
  if (same) touch(installed)
  return same
}

function linkCommand() {
  if (existsSync(command)) return
  const temporary = `${command}.${process.pid}`
  try {
    mkdirSync(dirname(command), { recursive: true })
    symlinkSync('../../bin/mayfly.mjs', temporary)
    renameSync(temporary, command)
  } catch {
    // Another user's checkout: npx finds the command without it too, by a link in its cache.
  }
}

function findNode() {
  if (Number(process.versions.node.split('.')[0]) >= oldestNode) return { ok: true, node: process.execPath }
  const pinned = `node-${process.platform}-${process.arch}`
  try {
    return { ok: true, node: createRequire(join(root, 'package.json')).resolve(`${pinned}/bin/node`) }
  } catch {
    const { platform, arch, version } = process
    const comes = platform === 'linux' && ['x64', 'arm64'].includes(arch)
    const todo = comes
      ? `run "npm ci --include=optional" in ${root}, or install Node ${oldestNode}`
      : `it comes with Mayfly on Linux (x64, arm64) only: install Node ${oldestNode} from https://nodejs.org and run the command again`
    return {
      ok: false,
      message: `Node ${oldestNode} or newer is needed, and this is ${version} on ${platform}-${arch}: ${todo}`,
    }
  }
}

/** The guest is newer than everything that it is made of; what that is, scripts/build-sidecar.ts knows as well. */
function guestIsCurrent() {
  const built = modifiedAt(join(root, 'build', 'sidecar.wasm'))
  const scripts = ['build-sidecar.ts', 'compile-sidecar.ts', 'compile-guest.ts'].map((name) =>
    join(root, 'scripts', name),
  )
  const folder = join(root, 'src', 'sidecar')
  const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => join(folder, name))
  return [...scripts, ...sources].every((file) => modifiedAt(file) < built)
}

function buildGuest(node) {
  const script = join(root, 'scripts', 'build-sidecar.ts')
  const built = spawnSync(node, ['--no-warnings', script, '--if-stale'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  })
  return built.status === 0 ? null : 'the sidecar guest does not build; the compiler output is above'
}

/** Milliseconds since the epoch; 0 where there is no such file. */
function modifiedAt(file) {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

function touch(file) {
  try {
    utimesSync(file, new Date(), new Date())
  } catch {
    // Another user's checkout: the next start compares again.
  }
}
