/** What happened, in milliseconds of the machine's monotonic clock, which is one for all its processes. */
export interface History {
  requests: RequestRecord[]
  functions: FunctionRecord[]
  faults: FaultRecord[]
  applies: ApplyRecord[]
  lists: ListRecord[]
}

/** A request as its client saw it. `status` 0: there was no answer, for the reason in `error`. */
export interface RequestRecord {
  id: string
  function: string
  begin: number
  end: number
  status: number
  error: string
}

/** What an instance writes down itself. */
export type FunctionRecord =
  | { what: 'start'; instance: string; function: string; pid: number; at: number }
  | { what: 'begin' | 'end'; instance: string; function: string; id: string; at: number }

/**
 * Something that was done to the mesh. `disturbs`: requests that are under way meanwhile, or come shortly after, may fail by it.
 * `leavesRequests`: who dies had requests under way at functions, for which nobody waits any more.
 */
export interface FaultRecord {
  name: string
  begin: number
  end: number
  disturbs: boolean
  leavesRequests: boolean
}

/** The `n`-th writing of the resource of that name. Not acknowledged: it may be in force now, later, or never. */
export interface ApplyRecord {
  name: string
  n: number
  begin: number
  end: number
  acknowledged: boolean
}

/** What the control plane says is there: each resource's writing. */
export interface ListRecord {
  begin: number
  end: number
  values: Record<string, number>
}

export function emptyHistory(): History {
  return { requests: [], functions: [], faults: [], applies: [], lists: [] }
}

/** Now, by the clock of histories. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000
}
