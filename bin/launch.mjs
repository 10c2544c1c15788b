// Runs a TypeScript file of this project under the pinned Node, installing dependencies and building the
// sidecar guest first where they are missing. It must itself run on any Node from 20 on, so it uses nothing newer.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const oldestNode = 26

/** Installs what is missing, then runs `script` with `args`; the process ends with the script's own status. */
export async function launch(script, args) {
  installDependencies()
  const node = findNode()
  buildSidecar(node)
  if (node === process.execPath) {
    process.argv = [node, join(root, script), ...args]
    await import(pathToFileURL(join(root, script)).href)
    return
  }
  // The channel tells the child that this process is gone, however it went, so that nothing outlives it.
  const child = spawn(node, [join(root, script), ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  })
  // The child decides what a signal means (drain, for instance), so the launcher only passes it on and waits.
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  // A terminal sends Ctrl-C to both; one that was sent to this process alone is passed on.
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'))
  child.on('error', (error) => fail(`cannot run ${node}: ${error.message}`))
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)))
  if (process.env.npm_command === 'exec') watchParent()
}

/** npx stays between the user and this process; where it is killed outright, this process has no one to work for. */
function watchParent() {
  const parent = process.ppid
  setInterval(() => process.ppid === parent || process.exit(1), 500).unref()
}

function installDependencies() {
  const stamp = join(root, 'node_modules', '.package-lock.json')
  const lock = join(root, 'package-lock.json')
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= statSync(lock).mtimeMs) return
  process.stderr.write('mayfly: installing dependencies (npm ci) ...\n')
  const npm = spawnSync('npm', ['ci', '--no-fund', '--no-audit'], { cwd: root, stdio: ['ignore', 2, 2] })
  if (npm.status !== 0) fail('npm ci failed; its output is above')
}

function findNode() {
  if (Number(process.versions.node.split('.')[0]) >= oldestNode) return process.execPath
  const pinned = `node-${process.platform}-${process.arch}`
  try {
    return createRequire(join(root, 'package.json')).resolve(`${pinned}/bin/node`)
  } catch {
    fail(
      `Node ${oldestNode} or newer is needed; this is ${process.version} and ${pinned} is not installed: ` +
        `install Node ${oldestNode}, or run "npm ci" in ${root}`,
    )
  }
}

function buildSidecar(node) {
  const script = join(root, 'scripts', 'build-sidecar.ts')
  const built = spawnSync(node, [script, '--if-stale'], { cwd: root, stdio: ['ignore', 2, 2] })
  if (built.status !== 0) fail('the sidecar guest does not build; the compiler output is above')
}

function fail(message) {
  process.stderr.write(`mayfly: ${message}\n`)
  process.exit(1)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const [script, ...args] = process.argv.slice(2)
  if (script === undefined) fail(`mayfly ${version}: usage: node bin/launch.mjs SCRIPT.ts [ARGUMENT...]`)
  launch(script, args)
}
