// Runs a TypeScript file of this project under the pinned Node, installing dependencies and building the
// sidecar guest first where they are missing. It must itself run on any Node from 20 on, so it uses nothing newer.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import module from 'node:module'
import { constants } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { root, setUp } from './set-up.mjs'

/** Where Node keeps what it compiled, so that the next start need not: it halves the time until `mayfly up` is ready. */
const compiled = join(root, 'node_modules', '.cache', 'mayfly')
/** Has glibc's allocator give free memory back (src/cli/spawn-engine.ts says more). */
const allocator = { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072' }

/** Installs what is missing, then runs `script` with `args`; the process ends with the script's own status. */
export async function launch(script, args) {
  const ready = setUp()
  if (!ready.ok) fail(ready.message)
  const { node } = ready
  process.env.NODE_COMPILE_CACHE ??= compiled
  if (process.env.npm_command === 'exec') watchNpx()
  if (node === process.execPath) {
    module.enableCompileCache(process.env.NODE_COMPILE_CACHE)
    process.argv = [node, join(root, script), ...args]
    await import(pathToFileURL(join(root, script)).href)
    return
  }
  // The channel tells the child that this process is gone, however it went, so that nothing outlives it.
  const child = spawn(node, [join(root, script), ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, ...allocator },
  })
  // The child decides what a signal means (drain, for instance), so the launcher only passes it on and waits.
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  // A terminal sends Ctrl-C to both; one that was sent to this process alone is passed on.
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'))
  child.on('error', (error) => fail(`cannot run ${node}: ${error.message}`))
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)))
}

/**
 * npx stays, with a shell, between the user and this process; where either is killed outright, this process has no one to
 * work for. A process whose parent ends gets another one.
 */
function watchNpx() {
  const shell = process.ppid
  const npx = parentOf(shell)
  setInterval(() => {
    if (process.ppid !== shell || parentOf(shell) !== npx) process.exit(1)
  }, 500).unref()
}

/** Its parent's process id; null where there is no /proc to tell. */
function parentOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The command's name, in parentheses, may hold spaces.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return null
  }
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
