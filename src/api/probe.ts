import { z } from 'zod'
import { across, filledList, integer, list, mapping, report, text, unsupported } from './fields.ts'
import { checkFieldName } from './kubernetes-name.ts'

/** How a new instance is asked, at its own port, whether it is ready. */
export type Probe = {
  handler:
    | { kind: 'http'; path: string; headers: { name: string; value: string }[] }
    | { kind: 'tcp' }
    | { kind: 'exec'; command: string[] }
  initialDelayMs: number
  /** 0: again and again, as quickly as is sensible (Knative's aggressive probing). */
  periodMs: number
  timeoutMs: number
  successThreshold: number
  failureThreshold: number
}

/** A `readinessProbe` as it is written. */
export type ReadinessProbe = z.output<typeof readinessProbe>

export function toProbe(probe: ReadinessProbe): Probe {
  return {
    handler: toHandler(probe),
    initialDelayMs: probe.initialDelaySeconds * 1_000,
    periodMs: probe.periodSeconds * 1_000,
    timeoutMs: probe.timeoutSeconds * 1_000,
    successThreshold: probe.successThreshold,
    failureThreshold: probe.failureThreshold,
  }
}

function toHandler(probe: ReadinessProbe): Probe['handler'] {
  if (probe.httpGet) return { kind: 'http', path: probe.httpGet.path, headers: probe.httpGet.httpHeaders }
  if (probe.exec) return { kind: 'exec', command: probe.exec.command }
  return { kind: 'tcp' }
}

/** A port as a number or a name; the container checks that it is the function's own. */
const port = z.custom<number | string>((value) => typeof value === 'number' || typeof value === 'string', {
  error: "expected the number or the name of the function's port",
})

const ownHost = unsupported('an instance is probed at its own address: remove the field')

export const readinessProbe = across(
  mapping({
    httpGet: mapping({
      path: text(checkPath).default('/'),
      port: port.optional(),
      scheme: text(
        (value) => (value === 'HTTP' ? null : 'instances are probed in plain HTTP: write HTTP'),
        'unsupported',
      ).optional(),
      host: ownHost,
      httpHeaders: list(mapping({ name: text(checkFieldName), value: text(checkFieldValue) }), 64).default(
        [],
      ),
    }).optional(),
    tcpSocket: mapping({ port: port.optional(), host: ownHost }).optional(),
    exec: mapping({ command: filledList(text(checkArgument)) }).optional(),
    grpc: unsupported('gRPC probes are not available yet: use httpGet, tcpSocket or exec'),
    initialDelaySeconds: integer(0, 3_600).default(0),
    periodSeconds: integer(0, 3_600).default(0),
    timeoutSeconds: integer(1, 3_600).default(1),
    successThreshold: integer(1, 100).default(1),
    failureThreshold: integer(1, 1_000).default(3),
  }),
  (probe, context) => {
    const handlers = ['httpGet', 'tcpSocket', 'exec'].filter((name) => probe[name] !== undefined)
    if (handlers.length > 1) report(context, 'conflict', `has ${handlers.join(' and ')}: keep one of them`)
  },
)

/** A program's argument: any text that an operating system can pass on. */
export function checkArgument(value: string): string | null {
  return value.includes('\0') ? 'has a NUL character, which no program can be given' : null
}

function checkPath(value: string): string | null {
  return /^\/[\x21-\x7e]*$/.test(value) ? null : 'expected a path that begins with "/" and has no spaces'
}

function checkFieldValue(value: string): string | null {
  return /^[\x20-\x7e\t]*$/.test(value) ? null : 'has a character that a header cannot carry'
}
