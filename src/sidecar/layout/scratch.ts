// Who uses which part of the sidecar's scratch memory (12 KiB, zero when a phase starts).

import { SCRATCH } from './record.ts'

/** Field table: MAX_FIELDS + ADDED_FIELDS + POLICY_FIELDS entries of 28 bytes. */
export const SCRATCH_FIELDS: i32 = SCRATCH
export const SCRATCH_AUTHENTICATION: i32 = SCRATCH + 0x1500
export const SCRATCH_ROUTES: i32 = SCRATCH + 0x1900
export const SCRATCH_RATE_LIMIT: i32 = SCRATCH + 0x1d00
/** For each FIELD_* id the index + 1 of the first field that has it, one byte each. */
export const SCRATCH_FIRST: i32 = SCRATCH + 0x2000
/** The client's address as the mesh understands it, 16 bytes (remoteIpPtr). */
export const SCRATCH_REMOTE_IP: i32 = SCRATCH + 0x2040
/** A text that the code needs in memory: "/" and the like. */
export const SCRATCH_TEXT: i32 = SCRATCH + 0x2050
/** The request id, 36 characters. */
export const SCRATCH_REQUEST_ID: i32 = SCRATCH + 0x2060
/** The authority's host in lower case, at most 255 bytes. */
export const SCRATCH_HOST: i32 = SCRATCH + 0x2100
/** Where an address is put together from text. */
export const SCRATCH_ADDRESS: i32 = SCRATCH + 0x2200
/** An authority whose host was written with a final dot, without it: at most 253 bytes, ":" and a port. */
export const SCRATCH_AUTHORITY: i32 = SCRATCH + 0x2240
export const SCRATCH_AUTHORIZATION: i32 = SCRATCH + 0x2400
export const SCRATCH_TRACING: i32 = SCRATCH + 0x2800
export const SCRATCH_ACCESS_LOG: i32 = SCRATCH + 0x2c00
export const SCRATCH_END: i32 = SCRATCH + 0x3000
