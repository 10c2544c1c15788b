// The HTTP section of a compiled policy: how heads are read. Offsets count from the section's first byte.

/** u32 NORMALIZE_*: how a path is normalised before it is judged and forwarded. */
export const HTTP_NORMALIZATION: i32 = 0
/** u32: so many proxies before the gateway are trusted to say in X-Forwarded-For who the client is. */
export const HTTP_TRUSTED_PROXIES: i32 = 4
export const HTTP_SIZE: i32 = 8

/** MeshConfig.pathNormalization.normalization. */
export const NORMALIZE_NONE: i32 = 0
export const NORMALIZE_BASE: i32 = 1
export const NORMALIZE_MERGE_SLASHES: i32 = 2
export const NORMALIZE_DECODE_AND_MERGE_SLASHES: i32 = 3
