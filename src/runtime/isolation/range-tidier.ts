import { type ChildProcess, spawn } from 'node:child_process'
import type { ClaimedRange } from './claimed-range.ts'
import { TOOL_ENVIRONMENT } from './system-tool.ts'

/** The process that outlives this one, and removes the control groups of its range, with all that runs in them, however it ended. */
export interface RangeTidier {
  /** Tidies up, and gives the range back. */
  close(): Promise<void>
}

const RESTART_MS = 200

/** `folders` are those in which the range's groups are. It holds the range's lock until nothing is left of it. */
export function startTidier(
  range: ClaimedRange,
  folders: readonly string[],
  lost: (problem: string) => void,
): RangeTidier {
  let closing = false
  let child = start()

  function start(): ChildProcess {
    const started = spawn('/bin/sh', ['-c', SCRIPT, 'mayfly-tidier', range.folder, ...folders], {
      detached: true,
      cwd: '/',
      env: TOOL_ENVIRONMENT,
      stdio: ['pipe', 'ignore', 'ignore', range.lock],
    })
    started.unref()
    started.stdin!.on('error', () => {})
    started.on('error', (error) => lost(`cannot run /bin/sh: ${error.message}`))
    started.on('exit', (code, signal) => {
      if (closing) return
      lost(`the process that removes control groups ended (${signal ?? code})`)
      setTimeout(() => {
        if (!closing) child = start()
      }, RESTART_MS).unref()
    })
    return started
  }

  return {
    async close() {
      closing = true
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
      child.ref()
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      child.stdin!.end()
      await ended
    },
  }
}

// Whoever forks while it is killed is met in the next round.
const SCRIPT = `
trap '' HUP INT QUIT TERM PIPE
while read -r _; do :; done
rm -rf -- "$1/compiled"
shift
round=0
while [ $round -lt 200 ]; do
  left=0
  for folder in "$@"; do
    [ -d "$folder" ] || continue
    for group in "$folder"/*/ "$folder"; do
      [ -f "$group/cgroup.procs" ] || continue
      while read -r pid; do kill -9 "$pid" 2>/dev/null; done <"$group/cgroup.procs"
      rmdir "$group" 2>/dev/null
    done
    [ -d "$folder" ] && left=1
  done
  [ $left = 0 ] && exit 0
  round=$((round + 1))
  sleep 0.02
done
exit 1
`
