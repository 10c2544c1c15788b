// What the manifest lets the policy see of the request or response. What it does not declare does not exist here.

import { absent, area, Bytes } from './bytes'
import {
  FROM_OUTSIDE,
  INPUT_AUTHORITY_PTR,
  INPUT_CARRY_PTR,
  INPUT_CLAIMS_PTR,
  INPUT_CLIENT_ADDRESS_PTR,
  INPUT_CONFIGURATION_PTR,
  INPUT_DIRECTION,
  INPUT_FIELDS_PTR,
  INPUT_METHOD_PTR,
  INPUT_PATH_PTR,
  INPUT_PRINCIPAL_PTR,
  INPUT_QUERY_PTR,
  INPUT_STATUS,
  INPUT_TIME,
  PAIR_SIZE,
  PAIR_VALUE_PTR,
} from './layout'

@inline
function place(offset: i32): Bytes {
  return changetype<Bytes>(area() + offset)
}

export function method(): Bytes {
  return place(INPUT_METHOD_PTR)
}

/** The normalised path, without its query. */
export function path(): Bytes {
  return place(INPUT_PATH_PTR)
}

/** The query without its "?". */
export function query(): Bytes {
  return place(INPUT_QUERY_PTR)
}

export function authority(): Bytes {
  return place(INPUT_AUTHORITY_PTR)
}

/** Who calls: `<trust domain>/ns/<namespace>/sa/<service account>`; absent for a client from outside. */
export function principal(): Bytes {
  return place(INPUT_PRINCIPAL_PTR)
}

/** The client's IP address as text. */
export function clientAddress(): Bytes {
  return place(INPUT_CLIENT_ADDRESS_PTR)
}

/** The manifest's `configuration` as JSON; see `member` and the like. */
export function configuration(): Bytes {
  return place(INPUT_CONFIGURATION_PTR)
}

/** What the request phase of the same request gave to `carry`; in the response phase. */
export function carried(): Bytes {
  return place(INPUT_CARRY_PTR)
}

/** Whether the request came from outside the mesh. */
export function fromOutside(): bool {
  return load<i32>(area() + INPUT_DIRECTION) == FROM_OUTSIDE
}

/** Milliseconds since the epoch. */
export function time(): u64 {
  return load<u64>(area() + INPUT_TIME)
}

/** The response's status; in the response phase. */
export function status(): i32 {
  return load<i32>(area() + INPUT_STATUS)
}

/** A header field of the request, or of the response in its phase; `name` in lower case. */
export function header(name: string): Bytes {
  return pair(INPUT_FIELDS_PTR, name, 0)
}

/** A claim of the request's verified token, as the manifest writes it; of a list the `index`-th value. */
export function claim(name: string, index: i32 = 0): Bytes {
  return pair(INPUT_CLAIMS_PTR, name, index)
}

function pair(offset: i32, name: string, skip: i32): Bytes {
  const list = load<i32>(area() + offset)
  const count = load<i32>(area() + offset + 4)
  for (let i = 0; i < count; i++) {
    const at = list + i * PAIR_SIZE
    if (changetype<Bytes>(at).equals(name) && skip-- == 0) return changetype<Bytes>(at + PAIR_VALUE_PTR)
  }
  return absent()
}
