// A regular expression as the sidecar runs it (src/policy/regular-expression.ts makes it). Offsets count from its first byte;
// it is a multiple of 4 bytes long and may lie at any multiple of 4.
//
//   u32 length of the whole, u16 AUTOMATON_TABLE or AUTOMATON_PROGRAM, then by its form
//
// AUTOMATON_TABLE, a deterministic automaton that takes a text as a whole:
//   u16 number of byte classes, u32 offset of the first state's row, u32 spare, for each byte value its class (256 bytes),
//   then the rows, one for each state, the dead one first: for each class u16 offset of the next state's row from the first
//   row, then u16 1 where the text may end here
// AUTOMATON_PROGRAM, a non-deterministic one, which can also search and tell where groups matched:
//   u16 number of instructions, u16 number of the first one, u16 number of places that it notes (2 for each group, the
//   whole among them; 0 for one that only takes texts as a whole), u32 spare, then the instructions:
//     u8 STEP_*, u8 first byte, u8 last byte, u8 spare, u16 number of the next instruction, u16 by kind
// What is preferred of several ways to match is what Perl would find first.

export const AUTOMATON_LENGTH: i32 = 0
export const AUTOMATON_FORM: i32 = 4
export const TABLE_CLASSES: i32 = 6
export const TABLE_FIRST_ROW: i32 = 8
export const TABLE_CLASS_OF: i32 = 16
export const TABLE_ROWS: i32 = 272
export const PROGRAM_STEPS: i32 = 6
export const PROGRAM_FIRST: i32 = 8
export const PROGRAM_PLACES: i32 = 10
export const PROGRAM_HEADER: i32 = 16

export const AUTOMATON_TABLE: i32 = 1
export const AUTOMATON_PROGRAM: i32 = 2

export const STEP_KIND: i32 = 0
export const STEP_LOW: i32 = 1
export const STEP_HIGH: i32 = 2
export const STEP_NEXT: i32 = 4
/** STEP_FORK: the way that is tried second; STEP_NOTE: the place; STEP_ASSERT: ASSERT_*. */
export const STEP_OTHER: i32 = 6
export const STEP_SIZE: i32 = 8

/** A byte from the first to the last one. */
export const STEP_BYTE: i32 = 0
export const STEP_FORK: i32 = 1
/** Where in the text this is, is noted as place STEP_OTHER. */
export const STEP_NOTE: i32 = 2
export const STEP_ASSERT: i32 = 3
export const STEP_MATCH: i32 = 4
/** Leads nowhere. */
export const STEP_FAIL: i32 = 5

export const ASSERT_BEGIN_TEXT: i32 = 0
export const ASSERT_END_TEXT: i32 = 1
export const ASSERT_BEGIN_LINE: i32 = 2
export const ASSERT_END_LINE: i32 = 3
export const ASSERT_WORD_BOUNDARY: i32 = 4
export const ASSERT_NO_WORD_BOUNDARY: i32 = 5

/** Most steps of a program that takes texts as a whole, and of one that searches: the sidecar's memory bounds them. */
export const MOST_MATCH_STEPS: i32 = 1024
export const MOST_SEARCH_STEPS: i32 = 256
/** The places of \0 to \9. */
export const MOST_PLACES: i32 = 20
