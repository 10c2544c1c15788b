import { z } from 'zod'
import { across, list, mapping, report, text } from './fields.ts'
import { checkFieldName, quote } from './kubernetes-name.ts'

/** What is set, added and removed of the fields of a request or a response: Istio's Headers. */
export type Headers = z.output<typeof headers>
export type FieldOperations = z.output<typeof requestOperations>

/** Fields of the connection, of the framing and of the request's way: only the mesh itself writes them. */
const OF_THE_MESH = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-authentication-info',
  'te',
  'trailer',
  'transfer-encoding',
  'content-length',
  'upgrade',
  'http2-settings',
  'expect',
  'x-request-id',
])
const OF_THE_REQUEST = new Set([
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-client-cert',
  'traceparent',
  'tracestate',
  'b3',
  'x-b3-traceid',
  'x-b3-spanid',
  'x-b3-parentspanid',
  'x-b3-sampled',
  'x-b3-flags',
])

const requestOperations = operations((name, operation) => {
  if (isAuthority(name) && operation === 'set') return null
  if (isAuthority(name))
    return 'is the authority: it can be set, here or by rewrite.authority, and nothing else'
  return OF_THE_REQUEST.has(name.replaceAll('_', '-')) ? 'is written by the mesh itself' : checkOperand(name)
})
const responseOperations = operations(checkOperand)

export const headers = mapping({
  request: requestOperations.optional(),
  response: responseOperations.optional(),
})

/** Whether setting that field sets the authority, as in Istio. */
export function isAuthority(name: string): boolean {
  return /^(host|:authority)$/i.test(name)
}

type Operation = 'set' | 'add' | 'remove'

function operations(checkName: (lowerName: string, operation: Operation) => string | null) {
  const values = z.record(z.string(), text(checkFieldText)).default({})
  return across(
    mapping({ set: values, add: values, remove: list(text(), 64).default([]) }),
    (value, context) => {
      for (const operation of ['set', 'add', 'remove'] as const) {
        const names = operation === 'remove' ? value.remove : Object.keys(value[operation] ?? {})
        if (!Array.isArray(names)) continue
        if (operation !== 'remove' && names.length > MOST_FIELDS)
          report(
            context,
            'out-of-range',
            `names ${names.length} fields, at most ${MOST_FIELDS} are allowed`,
            [operation],
          )
        const seen = new Set<string>()
        names.forEach((name: unknown, index) => {
          if (typeof name !== 'string') return
          const path = [operation, operation === 'remove' ? index : name]
          const wrong = checkName(name.toLowerCase(), operation)
          if (wrong) report(context, 'bad-value', `${quote(name)} ${wrong}`, path)
          else if (seen.has(name.toLowerCase()))
            report(context, 'conflict', `${quote(name)} is named twice`, path)
          seen.add(name.toLowerCase())
        })
      }
    },
  )
}

function checkOperand(name: string): string | null {
  // To servers that read "_" as "-" a name is the same either way.
  const plain = name.replaceAll('_', '-')
  if (OF_THE_MESH.has(plain) || /^x-(envoy|mayfly)-/.test(plain)) return 'is written by the mesh itself'
  if (name.startsWith(':') || name === 'host') return 'cannot be changed here'
  return checkFieldName(name) === null && name.length <= 255
    ? null
    : 'is not a header name of at most 255 characters'
}

/** A field's value; Envoy's operators in it are refused. */
export function checkFieldText(value: string): string | null {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\x00-\x08\x0a-\x1f\x7f]/.test(value)) return 'has a control character, which no header can carry'
  if (/^[ \t]|[ \t]$/.test(value)) return 'begins or ends with white space, which no header keeps'
  if (value.length > 4_096) return `has ${value.length} characters, at most 4096 are allowed`
  if (!/^(?:[^%]|%%)*$/.test(value))
    return 'has an operator between "%", and none is available here: write "%%" for a percent sign'
  return null
}

const MOST_FIELDS = 32
