// The AUTHENTICATION section: where tokens are looked for, and the rules by which one is judged. Offsets count from the section's
// first byte. Absent where no rule applies to the function.
//
//   header (AUTHN_*), u32 offset of each rule, then in any order what the offsets name
//   location: u32 length of the whole record, u64 set of the rules that read it (bit = number of the rule), u32 LOCATION_*,
//     u32 hash (headers), u16 length of the name, u16 length of the prefix, name (a header's in lower case), prefix;
//     of two that read the same header, the one with the longer prefix comes first
//   output: u16 length, a field name in lower case with "-" for "_": nobody but the sidecar may write such a field
//   rule (JWT_*); its lists are string lists (string-list.ts) of exact texts
//   claim output: u16 length of the field name, the name, u16 length of the claim's path, the path (claims.ts)

/** u32 number of rules, at most MOST_JWT_RULES. */
export const AUTHN_RULES: i32 = 0
/** u32 number of locations, u32 offset of the first. */
export const AUTHN_LOCATIONS: i32 = 4
export const AUTHN_FIRST_LOCATION: i32 = 8
/** u32 number of outputs, u32 offset of the first. */
export const AUTHN_OUTPUTS: i32 = 12
export const AUTHN_FIRST_OUTPUT: i32 = 16
export const AUTHN_HEADER: i32 = 20

/** A set of rules is one u64. */
export const MOST_JWT_RULES: i32 = 64

export const LOCATION_LENGTH: i32 = 0
export const LOCATION_RULES: i32 = 4
export const LOCATION_KIND: i32 = 12
export const LOCATION_HASH: i32 = 16
export const LOCATION_NAME_LENGTH: i32 = 20
export const LOCATION_PREFIX_LENGTH: i32 = 22
export const LOCATION_NAME: i32 = 24

export const LOCATION_IN_HEADER: i32 = 0
export const LOCATION_IN_PARAM: i32 = 1
export const LOCATION_IN_COOKIE: i32 = 2

/** u32 JWT_FLAG_* bits. */
export const JWT_FLAGS: i32 = 0
export const JWT_ISSUER: i32 = 4
export const JWT_ISSUER_LENGTH: i32 = 8
/** u32 offset of the list of audiences without scheme and final slash; 0: any. */
export const JWT_AUDIENCES: i32 = 12
/** u32 offset of the list of claims that are lists with spaces between. */
export const JWT_SPACE_DELIMITED: i32 = 16
/** Field that gets the payload; length 0: none. */
export const JWT_PAYLOAD: i32 = 20
export const JWT_PAYLOAD_LENGTH: i32 = 24
/** u32 number of claim outputs, u32 offset of the first. */
export const JWT_CLAIMS: i32 = 28
export const JWT_FIRST_CLAIM: i32 = 32
export const JWT_SIZE: i32 = 36

/** The function gets the token as it came. */
export const JWT_FLAG_FORWARD: i32 = 1
/** Tokens of any issuer. */
export const JWT_FLAG_ANY_ISSUER: i32 = 2

/** Longest token, in bytes. */
export const MOST_TOKEN: i32 = 16_384

// ---- NEED_SIGNATURE. The key: this header, the kid, the whole token, u16 number of each rule whose keys may verify it ----

export const SIGNATURE_RULES: i32 = 0
export const SIGNATURE_ALGORITHM: i32 = 2
export const SIGNATURE_KID_LENGTH: i32 = 4
export const SIGNATURE_HEADER: i32 = 8

/** JWS algorithms (RFC 7518 3.1, RFC 8037) by number, from 1. */
export const ALGORITHMS: readonly string[] = [
  '',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
]

// ---- The answer: u32, the place in the key of the first rule whose keys verify it, or one of these ----

export const SIGNATURE_WRONG: u32 = 0x10000
/** No key has that kid and algorithm. */
export const SIGNATURE_NO_KEY: u32 = 0x10001
/** The keys could not be fetched. */
export const SIGNATURE_NO_KEYS: u32 = 0x10002
