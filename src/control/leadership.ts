/** How a control plane comes to be the one that decides. Of several that share a store, one leads; the others stand by. */
export interface Leadership {
  /** Whether this control plane may decide at this very moment. */
  readonly leads: boolean
  /** Where the one that leads is reached, as far as is known. */
  readonly leader: string | null
  /** Why it cannot be known who leads; null: nothing is wrong. */
  readonly problem: string | null
  /** Begins to strive for it; resolves when it leads, or knows that it does not for now. `server` is where this one is reached. */
  begin(server: string, events: LeadershipEvents): Promise<void>
  /** Gives it up, so that another may lead at once. */
  close(): Promise<void>
}

export interface LeadershipEvents {
  /** It leads from now on; where this rejects it gives up again. */
  gained(): Promise<void>
  /** It leads no more; not before `gained` was called. */
  lost(): void
}

/** Of a control plane whose store is its own: no other can open it. */
export function soleLeadership(): Leadership {
  let leader: string | null = null
  return {
    leads: true,
    get leader() {
      return leader
    },
    problem: null,
    begin: async (server, events) => {
      leader = server
      await events.gained()
    },
    close: async () => {},
  }
}

/** What a control plane that stands by answers to whoever wants something decided. */
export function standsBy(leader: string | null): string {
  return leader === null
    ? 'this control plane stands by, and none leads for now: try again'
    : `this control plane stands by: ask the one that leads, ${leader}`
}
