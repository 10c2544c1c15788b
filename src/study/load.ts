import { fork } from 'node:child_process'
import type { FromGenerator, Load, LoadProgress, Outcome, Stop } from './load-protocol.ts'

/** What a load came to. Outcomes come in the order in which the invocations ended. */
export interface LoadResult {
  /** `stopped`: by the signal. `crashed`: the generator's process died, so what was under way is unknown. */
  readonly end:
    | { readonly kind: 'complete' }
    | { readonly kind: 'stopped' }
    | { readonly kind: 'crashed'; readonly reason: string }
  readonly outcomes: readonly Outcome[]
  /** Sent at all; more than `outcomes` only after a crash. */
  readonly sent: number
  /** CPU time of the generator itself. */
  readonly generatorCpuUs: number
}

/**
 * Sends a load from a process of its own, so that neither the mesh nor the report keeps it from the clock. Open loop:
 * each invocation goes out at its time, whatever became of the earlier ones; none is held back or left out.
 */
export function runLoad(
  load: Load,
  onProgress: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<LoadResult> {
  return new Promise((resolve) => {
    const generator = fork(new URL('load-process.ts', import.meta.url), {
      serialization: 'advanced',
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    const outcomes: Outcome[] = []
    let sent = 0
    let generatorCpuUs: number | undefined
    const stop = () => generator.send({ kind: 'stop' } satisfies Stop)

    generator.on('message', (message: FromGenerator) => {
      if (message.kind === 'ended') {
        generatorCpuUs = message.cpuUs
        return
      }
      for (const outcome of message.outcomes) outcomes.push(outcome)
      sent = message.progress.sent
      onProgress(message.progress)
    })
    generator.on('error', (error) => finish(error.message))
    generator.on('exit', (code, killed) =>
      finish(`the load generator ended with ${killed ?? `exit code ${code}`}`),
    )
    generator.send(load)
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop)

    function finish(reason: string): void {
      signal.removeEventListener('abort', stop)
      resolve({ end: endOf(reason), outcomes, sent, generatorCpuUs: generatorCpuUs ?? 0 })
    }

    function endOf(reason: string): LoadResult['end'] {
      if (generatorCpuUs === undefined) return { kind: 'crashed', reason }
      const cut = sent < load.fireUs.length || outcomes.some((outcome) => outcome.failure?.kind === 'aborted')
      return { kind: cut ? 'stopped' : 'complete' }
    }
  })
}
