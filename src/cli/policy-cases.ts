import { parse } from 'yaml'
import { z } from 'zod'
import { across, integer, list, mapping, report, text, word } from '../api/fields.ts'

/** A test of a policy: requests one after the other, which share the policy's state. */
export type PolicyCase = z.output<typeof policyCase>
export type PolicyStep = z.output<typeof step>
export type Expectation = z.output<typeof expectation>

const texts = z.record(z.string(), z.string()).default({})
const claims = z.record(z.string(), z.union([z.string(), z.array(z.string())])).default({})

const request = mapping({
  method: text().default('GET'),
  path: text().default('/'),
  query: text().optional(),
  authority: text().default('function.default'),
  principal: text().optional(),
  clientAddress: text().default('127.0.0.1'),
  direction: word(['outside', 'function']).default('outside'),
  /** Milliseconds since the epoch. */
  time: integer(0, Number.MAX_SAFE_INTEGER).default(0),
  headers: texts,
  claims,
})

const response = mapping({ status: integer(100, 999).default(200), headers: texts })

/** What is left out is not looked at. */
const expectation = mapping({
  verdict: word(['allow', 'deny', 'fail']),
  status: integer(400, 599).optional(),
  text: text().optional(),
  /** "set NAME VALUE", "add NAME VALUE", "remove NAME". */
  headers: list(text()).optional(),
  responseHeaders: list(text()).optional(),
  /** What is stored under the request's keys afterwards: a number, a set's members, or a text. */
  state: z.record(z.string(), z.union([z.number(), z.array(z.string()), z.string()])).optional(),
})

const step = across(
  mapping({
    request: request.prefault({}),
    expect: expectation,
    response: response.optional(),
    expectResponse: expectation.optional(),
  }),
  (value, context) => {
    if ((value.response === undefined) === (value.expectResponse === undefined)) return
    report(context, 'missing-field', 'response and expectResponse stand together', ['expectResponse'])
  },
)

const policyCase = mapping({ name: text(), steps: list(step, 1000) })
const file = mapping({ cases: list(policyCase, 1000) })

export type CasesReading = { ok: true; cases: PolicyCase[] } | { ok: false; errors: string[] }

/** Reads a file of cases, YAML or JSON; errors are one line each. */
export function readCases(path: string, contents: string): CasesReading {
  let value: unknown
  try {
    value = parse(contents, { maxAliasCount: 0 })
  } catch (error) {
    return { ok: false, errors: [`${path}: ${(error as Error).message.split('\n')[0]}`] }
  }
  const read = file.safeParse(value)
  if (read.success) return { ok: true, cases: read.data.cases }
  const errors = read.error.issues.map(({ path: at, message, code }) => {
    const what = code === 'unrecognized_keys' ? `unknown field; known are ${message}` : message
    return `${path}: ${at.join('.')}: ${what}`
  })
  return { ok: false, errors }
}
