import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'

/** Names the run in the environment of everything that it starts. */
export const RUN_VARIABLE = 'MAYFLY_RUN'
export const INSTANCE_VARIABLE = 'MAYFLY_INSTANCE'

/** The process that outlives the mesh process, however that one ends, and kills all that the run has started. */
export type Keeper = {
  /** Value of RUN_VARIABLE; every process started gets it. */
  readonly run: string
  /** `group` is the process group of an instance that was started. */
  add(group: number): void
  /** The group is gone. */
  remove(group: number): void
  /** The instance is gone: what it has left behind outside its groups (a daemon) is found by its environment and killed. */
  sweep(instance: string): void
  /** Kills what is left and ends the keeper. */
  close(): Promise<void>
}

/** Starts the keeper. `lost` is told when it could not be started or has died (it is started anew then). */
export function startKeeper(lost: (problem: string) => void): Keeper {
  const run = randomBytes(16).toString('hex')
  const groups = new Set<number>()
  let gone: string[] = []
  let closing = false
  let process = start()
  let restart: NodeJS.Timeout | undefined
  let sweepTimer: NodeJS.Timeout | undefined

  function start(): ChildProcess {
    const child = spawn('/bin/sh', ['-c', SCRIPT, 'mayfly-keeper', run], {
      // A group and session of its own: what ends the mesh process from a terminal must not end the keeper.
      detached: true,
      cwd: '/',
      env: { PATH: '/usr/bin:/bin' },
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    child.unref()
    child.stdin!.on('error', () => {})
    let ended = false
    const end = (problem: string) => {
      if (ended || closing) return
      ended = true
      lost(problem)
      restart = setTimeout(() => {
        process = start()
      }, RESTART_MS)
      restart.unref()
    }
    child.on('error', (error) => end(`cannot run /bin/sh: ${error.message}`))
    child.on('exit', (code, signal) => end(`the keeper ended (${signal ?? code})`))
    for (const group of groups) child.stdin!.write(`+${group}\n`)
    return child
  }

  function flushGone(): void {
    sweepTimer = undefined
    process.stdin!.write(`?${gone.join(' ')}\n`)
    gone = []
  }

  return {
    run,
    add(group) {
      groups.add(group)
      process.stdin!.write(`+${group}\n`)
    },
    remove(group) {
      groups.delete(group)
      process.stdin!.write(`-${group}\n`)
    },
    sweep(instance) {
      gone.push(instance)
      if (gone.length >= MOST_IN_ONE_SWEEP) {
        clearTimeout(sweepTimer)
        flushGone()
      } else sweepTimer ??= setTimeout(flushGone, SWEEP_MS).unref()
    },
    async close() {
      closing = true
      clearTimeout(restart)
      clearTimeout(sweepTimer)
      const child = process
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
      child.ref()
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      child.stdin!.end()
      await ended
    },
  }
}

const RESTART_MS = 200
const SWEEP_MS = 500
const MOST_IN_ONE_SWEEP = 100

// Standard input: "+GROUP" and "-GROUP" say which process groups live; "?INSTANCE ..." asks to kill what those instances
// left behind; its end means that the mesh process is gone, whatever ended it. /proc/PID/environ holds NAME=VALUE texts
// that end in NUL, hence -z and -x. Without /proc (not Linux) only the groups are killed.
const SCRIPT = `
run=$1
groups=' '
trap '' HUP INT QUIT TERM PIPE
kill_marked() {
  found=1
  for file in $(grep -lzxsF -- "$1" /proc/[0-9]*/environ 2>/dev/null); do
    pid=\${file#/proc/}
    kill -9 "\${pid%/environ}" 2>/dev/null && found=0
  done
  return $found
}
while IFS= read -r line; do
  case $line in
    +*) groups="$groups\${line#+} " ;;
    -*)
      case $groups in *" \${line#-} "*) groups="\${groups%% "\${line#-}" *} \${groups#* "\${line#-}" }" ;; esac ;;
    \\?*) kill_marked "$(printf '${INSTANCE_VARIABLE}=%s\\n' \${line#\\?})" ;;
  esac
done
for group in $groups; do kill -9 "-$group" 2>/dev/null; done
# A process that is just being started shows its marker only after its exec, hence a second look when nothing is found.
quiet=0
round=0
while [ $quiet -lt 2 ] && [ $round -lt 200 ]; do
  if kill_marked "${RUN_VARIABLE}=$run"; then quiet=0; else quiet=$((quiet + 1)); fi
  round=$((round + 1))
  [ $quiet -lt 2 ] && sleep 0.05
done
exit 0
`
