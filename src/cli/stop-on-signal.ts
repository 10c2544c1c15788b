import { fail } from './output.ts'

/** A terminal sends Ctrl-C to every process at once, and npm passes its own on: what comes so soon again is the same one. */
const SAME_SIGNAL_MS = 300

/** First signal: `told`, then `stop`. Second: end at once; child processes end with this one. */
export function stopOnSignal(told: (signal: NodeJS.Signals) => void, stop: () => Promise<void>): void {
  let first: { signal: NodeJS.Signals; at: number } | null = null
  const onSignal = (signal: NodeJS.Signals) => {
    const at = performance.now()
    if (first?.signal === signal && at - first.at < SAME_SIGNAL_MS) return
    if (first) process.exit(130)
    first = { signal, at }
    told(signal)
    stop().then(
      () => process.exit(0),
      (error) => fail(`stopping failed: ${error.message}`),
    )
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  // The terminal was closed.
  process.on('SIGHUP', onSignal)
}
