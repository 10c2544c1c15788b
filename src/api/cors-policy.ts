import { z } from 'zod'
import { across, list, mapping, report, text, unsupported, word } from './fields.ts'
import { durationOrZero } from './http-fault.ts'
import { checkFieldName, quote } from './kubernetes-name.ts'
import { stringMatch } from './string-match.ts'

/** Which other origins' scripts may read the answers: Istio's CorsPolicy. */
export type CorsPolicy = z.output<typeof corsPolicy>

const fieldNames = list(
  text((value) => (value === '*' ? null : checkFieldName(value))),
  256,
).default([])

export const corsPolicy = across(
  mapping({
    allowOrigins: list(stringMatch, 256).default([]),
    allowOrigin: unsupported("is Istio's old form: write allowOrigins, each with exact, prefix or regex"),
    allowMethods: list(
      text((value) =>
        value === '*' || /^[A-Z]+$/.test(value)
          ? null
          : `${quote(value)} is not a method: write it in upper case`,
      ),
      64,
    ).default([]),
    allowHeaders: fieldNames,
    exposeHeaders: fieldNames,
    maxAge: durationOrZero.optional(),
    allowCredentials: z.boolean().default(false),
    unmatchedPreflights: word(['UNSPECIFIED', 'FORWARD', 'IGNORE']).default('UNSPECIFIED'),
  }),
  (value, context) => {
    if (Array.isArray(value.allowOrigins) && value.allowOrigins.length === 0)
      report(context, 'missing-field', 'without an origin no response is changed: list at least one', [
        'allowOrigins',
      ])
    if (typeof value.maxAge === 'number' && value.maxAge % 1_000 !== 0)
      report(context, 'bad-value', 'is told to browsers in whole seconds', ['maxAge'])
  },
)
