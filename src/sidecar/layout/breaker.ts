// The BREAKER section: what DestinationRules bound, for each client's view of the function and each slot of a view (slot 0 is
// the whole function, the others its subsets; src/policy/traffic-plan.ts).
//
//   u32 number of views, u32 number of slots, u32 number of routes, u32 spare
//   for each view and slot SLOT_SIZE bytes
//   for each route u32 offset of: u32 number of destinations, then for each u32 slot, OTHER_FUNCTION where it is another's
//   hash keys, texts

export const BREAKER_VIEWS: i32 = 0
export const BREAKER_SLOTS: i32 = 4
export const BREAKER_ROUTES: i32 = 8
export const BREAKER_HEADER: i32 = 16

/** u32: most requests at instances; UNBOUNDED: any number. */
export const SLOT_MAX_REQUESTS: i32 = 0
/** u32: most requests that wait for an instance or a connection. */
export const SLOT_MAX_PENDING: i32 = 4
/** u32: offset of the hash key in the section, 0: none. */
export const SLOT_HASH_KEY: i32 = 8
export const SLOT_SIZE: i32 = 12
export const UNBOUNDED: u32 = 0xffff_ffff
export const OTHER_FUNCTION: u32 = 0xffff_ffff

/** u32: HASH_* kind. */
export const HASH_KEY_KIND: i32 = 0
/** u32 offset in the section, u32 length: the name of a field (lower case), cookie or parameter. */
export const HASH_KEY_NAME: i32 = 4
export const HASH_KEY_NAME_LEN: i32 = 8
/** A cookie that the mesh sets, as u32 offset and u32 length of what follows its value: attributes. Length 0: it sets none. */
export const HASH_KEY_COOKIE: i32 = 12
export const HASH_KEY_COOKIE_LEN: i32 = 16
export const HASH_KEY_SIZE: i32 = 20

export const HASH_HEADER: i32 = 1
export const HASH_COOKIE: i32 = 2
export const HASH_SOURCE_IP: i32 = 3
export const HASH_QUERY: i32 = 4

// What the engine injects at IN_CIRCUITS_PTR: u32 view, u32 slot (of a request whose route was taken elsewhere; else 0), then
// for each slot of the view CIRCUIT_SIZE bytes.

export const CIRCUITS_VIEW: i32 = 0
export const CIRCUITS_SLOT: i32 = 4
export const CIRCUITS_HEADER: i32 = 8
/** u32: requests at instances now. */
export const CIRCUIT_ACTIVE: i32 = 0
/** u32: requests that wait for an instance or a connection now. */
export const CIRCUIT_PENDING: i32 = 4
/** u32: 1 where an idle connection to a free instance is there, so that a request need not wait; 0 as well where CIRCUIT_PENDING is below its bound. */
export const CIRCUIT_READY: i32 = 8
export const CIRCUIT_SIZE: i32 = 12
