import { spawnSync } from 'node:child_process'
import { closeSync, constants, fstatSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { addressNumber } from './packet-filter.ts'

/** What belongs to one process that isolates instances: names, addresses and users that no other one on the machine uses. */
export interface ClaimedRange {
  readonly number: number
  /** Files of its own, for root alone. */
  readonly folder: string
  /** Holds the claim for as long as any process has it open. */
  readonly lock: number
  /** Begins the names of its network interfaces. */
  readonly interfacePrefix: string
  /** Of its instances' users and groups. */
  readonly firstUser: number
  /** Of the pairs of addresses that its instances have on the machine. */
  readonly firstAddress: number
}

/** Instances that one range has room for. */
export const RANGE_SIZE = 1_024
/** Ranges on one machine. */
const RANGES = 64
const FOLDER = '/run/mayfly'
/** 198.18.0.0/15 is for tests of network devices (RFC 2544): nothing of a real network is there. */
const FIRST_ADDRESS = addressNumber('198.18.0.0')
/** systemd's list of users has 1879048192 to 2147483647 as unused. */
export const FIRST_USER = 1_900_000_000

/** Claims a range that nobody has. The claim ends with the processes that hold its lock, however they end. */
export function claimRange(
  flock: string,
  firstUser: number,
): { ok: true; range: ClaimedRange } | { ok: false; problem: string } {
  for (let number = 0; number < RANGES; number++) {
    const folder = join(FOLDER, String(number))
    let lock: number
    try {
      mkdirSync(FOLDER, { recursive: true, mode: 0o755 })
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      lock = openSync(
        join(folder, 'lock'),
        constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW,
        0o600,
      )
    } catch (error) {
      return { ok: false, problem: `${folder} cannot be used: ${(error as Error).message}` }
    }
    // The lock is one of the open file, which this process goes on having.
    const locked = spawnSync(flock, ['--nonblock', '3'], { stdio: ['ignore', 'ignore', 'ignore', lock] })
    if (locked.status === 0 && fstatSync(lock).nlink === 1) {
      return {
        ok: true,
        range: {
          number,
          folder,
          lock,
          interfacePrefix: `mf${number}x`,
          firstUser: firstUser + number * RANGE_SIZE,
          firstAddress: FIRST_ADDRESS + number * RANGE_SIZE * 2,
        },
      }
    }
    closeSync(lock)
  }
  return { ok: false, problem: `all ${RANGES} ranges in ${FOLDER} are in use by other processes` }
}
