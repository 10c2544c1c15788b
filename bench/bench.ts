import type { Children } from './children.ts'
import type { Row } from './row.ts'

/** What main.ts hands to a bench: how long to measure, where to start processes, and whom to tell. */
export type BenchRun = {
  /** Interleaved rounds; every figure is the median over them. */
  readonly rounds: number
  readonly children: Children
  /** One line about what is going on, for the person who waits. */
  say(line: string): void
  /** Notes that something did not work, while the rows still tell what was measured: the run ends with status 1. */
  fail(problem: string): void
}

/** A bench measures and returns its rows. It throws when what it measures does not work; a missed goal is a row. */
export type Bench = (run: BenchRun) => Promise<Row[]>
