// Lays a log format out as a program for the sidecar (layout/access-log.ts).

import {
  FORM_JSON_PART,
  FORM_JSON_VALUE,
  FORM_TEXT,
  LOG_DETAILS,
  LOG_HOLE,
  LOG_OP_SIZE,
  LOG_PIECE,
  LOG_TEXT,
  MAX_LOGGED_VALUE,
  PROGRAM_HEADER_SIZE,
} from '../sidecar/layout/access-log.ts'
import { MAX_HOLES } from '../sidecar/layout/record.ts'
import { ByteWriter } from './byte-writer.ts'
import type { JsonFormat, LogPart, Parsed } from './log-format.ts'
import { type LogOp, textOp } from './log-op.ts'
import { type LogFacts, operatorOps } from './log-operators.ts'
import { responseDetails } from './response-details.ts'

/** The ops of a text format. */
export function textOps(parts: readonly LogPart[], facts: LogFacts): Parsed<LogOp[]> {
  return partsOps(parts, FORM_TEXT, facts)
}

/** The ops of a JSON format: one object without white space, its keys in the format's order. */
export function jsonOps(format: JsonFormat, facts: LogFacts): Parsed<LogOp[]> {
  switch (format.kind) {
    case 'constant':
      return { ok: true, value: [textOp(format.json)] }
    case 'parts': {
      const only = format.parts.length === 1 ? format.parts[0]! : null
      if (only?.kind === 'operator') return operatorOps(only, FORM_JSON_VALUE, facts)
      const inside = partsOps(format.parts, FORM_JSON_PART, facts)
      return inside.ok ? { ok: true, value: [textOp('"'), ...inside.value, textOp('"')] } : inside
    }
    case 'list':
      return enclosed(
        '[',
        format.items.map((item) => ['', item] as const),
        ']',
        facts,
      )
    case 'object':
      return enclosed(
        '{',
        format.entries.map(([key, item]) => [`${JSON.stringify(key)}:`, item] as const),
        '}',
        facts,
      )
  }
}

/** The bytes of a program at `offset` in its section: header, ops, and the texts that they refer to. */
export function layOutProgram(all: readonly LogOp[], offset: number): Parsed<Buffer> {
  const ops = inPieces(mergeTexts(all))
  if (ops.length > MAX_OPS)
    return problem(`becomes ${ops.length} steps; at most ${MAX_OPS} are allowed: shorten it`)
  const holes = ops.filter((op) => op.code === LOG_HOLE).length
  if (holes > MAX_HOLES)
    return problem(`has ${holes} figures of the exchange; at most ${MAX_HOLES} are allowed`)
  const textStart = offset + PROGRAM_HEADER_SIZE + ops.length * LOG_OP_SIZE
  const texts = new ByteWriter()
  const out = new ByteWriter()
  for (const op of ops) {
    const at = textStart + texts.length
    let text = op.text ?? Buffer.alloc(0)
    let number = op.number ?? 0
    if (op.code === LOG_DETAILS) {
      const details = responseDetails(at)
      text = details.bytes
      number = details.entries
    }
    out
      .u8(op.code)
      .u8(op.form)
      .u8(op.orElse ? 1 : 0)
      .u8(0)
    out
      .u32(op.limit ?? MAX_LOGGED_VALUE)
      .u32(at)
      .u32(text.length)
      .u32(number)
    texts.bytes(text)
  }
  const body = Buffer.concat([out.finish(), texts.finish()])
  const header = new ByteWriter().u32(ops.length).u32(programId(body)).finish()
  return { ok: true, value: Buffer.concat([header, body]) }
}

function partsOps(parts: readonly LogPart[], form: number, facts: LogFacts): Parsed<LogOp[]> {
  const ops: LogOp[] = []
  for (const part of parts) {
    if (part.kind === 'text') {
      ops.push(textOp(form === FORM_TEXT ? part.text : JSON.stringify(part.text).slice(1, -1)))
      continue
    }
    const own = operatorOps(part, form, facts)
    if (!own.ok) return own
    ops.push(...own.value)
  }
  return { ok: true, value: ops }
}

function enclosed(
  open: string,
  items: readonly (readonly [string, JsonFormat])[],
  close: string,
  facts: LogFacts,
): Parsed<LogOp[]> {
  const ops: LogOp[] = [textOp(open)]
  for (const [i, [prefix, item]] of items.entries()) {
    const own = jsonOps(item, facts)
    if (!own.ok) return own
    ops.push(textOp(`${i > 0 ? ',' : ''}${prefix}`), ...own.value)
  }
  ops.push(textOp(close))
  return { ok: true, value: ops }
}

function mergeTexts(ops: readonly LogOp[]): LogOp[] {
  const merged: LogOp[] = []
  for (const op of ops) {
    const last = merged.at(-1)
    if (op.code === LOG_TEXT && last?.code === LOG_TEXT) {
      merged[merged.length - 1] = { ...last, text: Buffer.concat([last.text!, op.text!]) }
    } else if (op.code !== LOG_TEXT || op.text!.length > 0) {
      merged.push(op)
    }
  }
  return merged
}

/** Puts LOG_PIECE in front of each run of ops that the request phase can write; text joins the run beside it. */
function inPieces(ops: readonly LogOp[]): LogOp[] {
  const out: LogOp[] = []
  let run: LogOp[] = []
  const endRun = () => {
    if (run.length > 0) out.push({ code: LOG_PIECE, form: 0, phase: 'request', number: run.length }, ...run)
    run = []
  }
  for (const [i, op] of ops.entries()) {
    const inRequest =
      op.phase === 'request' || (op.phase === 'any' && (run.length > 0 || ops[i + 1]?.phase === 'request'))
    if (inRequest) run.push(op)
    else {
      endRun()
      out.push(op)
    }
  }
  endRun()
  return out
}

/** Differs between formats, so that a response does not continue a line that was begun in another format. */
function programId(body: Buffer): number {
  let hash = 2166136261
  for (const byte of body) hash = Math.imul(hash ^ byte, 16777619)
  return hash >>> 0 || 1
}

function problem(text: string): { ok: false; problem: string } {
  return { ok: false, problem: text }
}

const MAX_OPS = 512
