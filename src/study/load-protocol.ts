// What the replay and the load generator's process say to each other over their IPC channel.

/** How the function works for the asked time. */
export const WORK = ['spin', 'sleep'] as const
export type Work = (typeof WORK)[number]

/** What to send and where; the arrays are parallel and sorted by `fireUs`. */
export interface Load {
  readonly kind: 'load'
  /** `http://127.0.0.1:8080`. */
  readonly gateway: string
  /** The functions, by the Host field that reaches them and the name that they answer with. */
  readonly targets: readonly { readonly host: string; readonly name: string }[]
  /** Fields of each request beside Host. */
  readonly headers?: Readonly<Record<string, string>>
  readonly work: Work
  /** Whether functions take the memory of `memoryMb`. */
  readonly memory: boolean
  /** After this an invocation without a whole answer has failed. */
  readonly timeoutMs: number
  readonly functionAt: Uint32Array
  readonly fireUs: Float64Array
  readonly askedMs: Uint32Array
  readonly memoryMb: Uint32Array
}

/** Stop sending; what is under way is given up and counted as `aborted`. */
export interface Stop {
  readonly kind: 'stop'
}

/** Why an invocation failed. Stable, for scripts. */
export type Failure =
  | { readonly kind: 'connection'; readonly detail: string }
  | { readonly kind: 'timeout'; readonly detail: string }
  | { readonly kind: 'status'; readonly detail: string }
  /** A 200 that is not the function's own answer, or one of another function. */
  | { readonly kind: 'answer'; readonly detail: string }
  | { readonly kind: 'aborted'; readonly detail: string }

/** What became of one invocation. */
export interface Outcome {
  /** Index in the load's arrays. */
  readonly index: number
  /** When it was really sent, us after the start. */
  readonly firedUs: number
  /** From sending to the last byte of the answer, or to the failure. */
  readonly latencyUs: number
  /** 0 where there was no answer. */
  readonly status: number
  readonly failure: Failure | undefined
  readonly cold: boolean
  /** What the function measured; 0 where it failed. */
  readonly executedUs: number
  readonly pid: number
}

export interface LoadProgress {
  readonly sent: number
  readonly done: number
  readonly failed: number
  /** Sent later than LATE_MS after its time. */
  readonly late: number
}

/** An invocation sent later than this counts as late: the generator was kept from the CPU. */
export const LATE_MS = 10

export type FromGenerator =
  | { readonly kind: 'outcomes'; readonly outcomes: readonly Outcome[]; readonly progress: LoadProgress }
  | { readonly kind: 'ended'; readonly cpuUs: number }
