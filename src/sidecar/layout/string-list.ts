// A list of text matchers, as policies write them: exact `abc`, prefix `abc*`, suffix `*abc`, presence `*`, path
// templates with `{*}` and `{**}`. A text matches the list if it matches one of them. All offsets count from the list's
// first byte, so a list may lie anywhere.
//
//   u16 number of exact texts, u16 number of patterns, u32 offset of the first pattern
//   for each exact text: u32 offset of its record; ascending by length, then by bytes compared from the last to the
//   first (names of one kind share their beginnings, so a difference shows at once)
//   for each pattern: a record
//
// A record is u16 LIST_FORM_*, u16 length, then the text. A template's text is a program of steps, see TEMPLATE_*.

export const LIST_EXACTS: i32 = 0
export const LIST_PATTERNS: i32 = 2
export const LIST_FIRST_PATTERN: i32 = 4
export const LIST_HEADER: i32 = 8

export const RECORD_FORM: i32 = 0
export const RECORD_LENGTH: i32 = 2
export const RECORD_TEXT: i32 = 4

/** Most texts of one kind in a list, and most bytes in one text: both are u16. */
export const LIST_MAXIMUM: i32 = 0xffff

export const LIST_FORM_EXACT: i32 = 0
export const LIST_FORM_PREFIX: i32 = 1
export const LIST_FORM_SUFFIX: i32 = 2
/** Any text but the empty one. */
export const LIST_FORM_PRESENT: i32 = 3
export const LIST_FORM_TEMPLATE: i32 = 4

// ---- Steps of a path template: u8 kind, then what the kind says ----

/** The path ends here. */
export const TEMPLATE_END: i32 = 0
/** These bytes: u16 length, bytes. */
export const TEMPLATE_LITERAL: i32 = 1
/** `{*}`: one or more bytes other than "/". */
export const TEMPLATE_SEGMENT: i32 = 2
/** `{**}`: any bytes, also none, then these as the path's last: u16 length, bytes. Always the last step. */
export const TEMPLATE_REST: i32 = 3
