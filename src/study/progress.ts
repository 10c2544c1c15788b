import { SingleBar } from 'cli-progress'
import type { LoadProgress } from './load-protocol.ts'

/** Shows how far a replay is. */
export interface Progress {
  update(progress: LoadProgress): void
  end(): void
}

/** Where progress is written: a terminal gets a bar, anything else a line now and then. */
export type Screen = Pick<NodeJS.WriteStream, 'write'> & { readonly isTTY?: boolean }

const LINE_EVERY_MS = 10_000

export function showProgress(
  total: number,
  screen: Screen,
  now: () => number = () => performance.now(),
): Progress {
  return screen.isTTY ? bar(total, screen as NodeJS.WriteStream) : lines(total, screen, now)
}

function bar(total: number, screen: NodeJS.WriteStream): Progress {
  const shown = new SingleBar({
    stream: screen,
    format: '{bar} {sent}/{total} sent, {value} done, {late} late, {failed} failed, {duration_formatted}',
    barsize: 24,
    fps: 5,
    hideCursor: true,
  })
  shown.start(total, 0, { sent: 0, late: 0, failed: 0 })
  return {
    update: ({ sent, done, late, failed }) => shown.update(done, { sent, late, failed }),
    end: () => shown.stop(),
  }
}

function lines(total: number, screen: Screen, now: () => number): Progress {
  let latest: LoadProgress = { sent: 0, done: 0, failed: 0, late: 0 }
  let shownAt = now()
  return {
    update(progress) {
      latest = progress
      if (now() - shownAt < LINE_EVERY_MS) return
      shownAt = now()
      print()
    },
    end: print,
  }

  function print(): void {
    const { sent, done, late, failed } = latest
    screen.write(`${sent}/${total} sent, ${done} done, ${late} late, ${failed} failed\n`)
  }
}
