import { isIP } from 'node:net'
import { z } from 'zod'
import { externalAuthorizer } from './external-authorizer.ts'
import { across, integer, isMapping, mapping, report, text, unsupported } from './fields.ts'
import { checkDnsSubdomain, quote } from './kubernetes-name.ts'

/** Somewhere that logs or spans go, as MeshConfig names it. */
export type ExtensionProvider = z.output<typeof extensionProvider>

const LATER =
  'this kind of provider is not available yet; envoyFileAccessLog, opentelemetry and envoyExtAuthzHttp are'
const GRPC = 'check services are asked over HTTP, not gRPC: write envoyExtAuthzHttp'

/** JSON-like labels of a log format: texts with command operators, nested as deep as is written. */
export type LogLabels = { [name: string]: string | number | boolean | null | LogLabels }

export const logLabels: z.ZodType<LogLabels> = z.custom<LogLabels>(isLogLabels, {
  error: 'expected a mapping of names to texts with command operators such as %REQ(:PATH)%',
})

const logFormat = across(
  mapping({ text: text().optional(), labels: logLabels.optional() }),
  (value, context) => {
    if (value.text !== undefined && value.labels !== undefined)
      report(context, 'conflict', 'has text and labels: keep one of them')
  },
)

const collector = mapping({
  service: text(checkHost),
  port: integer(1, 65_535),
  maxTagLength: integer(1, 4_096).optional(),
  http: mapping({
    path: text(checkUrlPath).optional(),
    timeout: unsupported('an export may take 10 s: remove the field'),
    headers: unsupported('fields of exports cannot be chosen: remove the field'),
  }).optional(),
  grpc: unsupported('spans go over HTTP, to port 4318 of most collectors: remove the field'),
  resourceDetectors: unsupported('a span says of its function what its tags say: remove the field'),
  dynatraceSampler: unsupported('what is sampled a Telemetry says: remove the field'),
})

const TYPES = ['envoyFileAccessLog', 'opentelemetry', 'envoyExtAuthzHttp', 'prometheus']

export const extensionProvider = across(
  mapping({
    name: text((value) => (value.trim() === '' ? 'a provider needs a name' : null)),
    envoyFileAccessLog: mapping({ path: text(checkLogPath), logFormat: logFormat.optional() }).optional(),
    opentelemetry: collector.optional(),
    zipkin: unsupported(LATER),
    envoyExtAuthzHttp: externalAuthorizer(checkHost).optional(),
    envoyExtAuthzGrpc: unsupported(GRPC),
    envoyHttpAls: unsupported(LATER),
    envoyTcpAls: unsupported(LATER),
    envoyOtelAls: unsupported(LATER),
    lightstep: unsupported(LATER),
    datadog: unsupported(LATER),
    opencensus: unsupported(LATER),
    skywalking: unsupported(LATER),
    stackdriver: unsupported(LATER),
    prometheus: mapping({}).optional(),
    sds: unsupported(LATER),
  }),
  (value, context) => {
    const given = TYPES.filter((type) => value[type] !== undefined)
    if (given.length > 1) report(context, 'conflict', `is ${given.join(' and ')}: keep one of them`)
    if (Object.keys(value).length < 2) report(context, 'missing-field', `expected ${TYPES.join(' or ')}`)
  },
)

/** Where access logs may go: `/dev/stdout`, `/dev/stderr`, or a file. */
export function checkLogPath(value: string): string | null {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are refused
  return /^[^\x00-\x1f\x7f]+$/.test(value)
    ? null
    : `${quote(value)} is not a path: write /dev/stdout or the path of a file`
}

function checkUrlPath(value: string): string | null {
  return /^\/[!-"$-;=@-~]*$/.test(value)
    ? null
    : `${quote(value)} is not the path of a URL: write for example /v1/traces`
}

function checkHost(value: string): string | null {
  const name = value.split('/').at(-1)!
  if (isIP(name) !== 0 || checkDnsSubdomain(name) === null) return null
  return `${quote(value)} is not a host: write a DNS name or an IP address`
}

/** Whether a value is a mapping of names to texts or such mappings; lists have no meaning in a log line. */
export function isLogLabels(value: unknown): value is LogLabels {
  if (!isMapping(value)) return false
  return Object.values(value).every((item) =>
    typeof item === 'object' && item !== null ? isLogLabels(item) : true,
  )
}
