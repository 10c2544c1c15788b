import { z } from 'zod'
import {
  across,
  type CheckContext,
  filledList,
  ignored,
  integer,
  isMapping,
  list,
  mapping,
  reading,
  report,
  text,
  unsupported,
} from './fields.ts'
import { readImage } from './image.ts'
import { checkDnsLabel, checkVariableName, quote } from './kubernetes-name.ts'
import { checkArgument, readinessProbe } from './probe.ts'
import { resourceRequirements } from './resources.ts'

/** The port that a function declares where its manifest does not. */
export const DEFAULT_PORT = 8080

/** A function's one container. */
export type Container = z.output<typeof container>

const variable = mapping({
  name: text(checkFreeVariable),
  value: text(checkArgument).default(''),
  valueFrom: unsupported(
    'config maps, secrets and the downward API do not exist here: write the value itself',
  ),
})

const port = mapping({
  name: text(checkPortName).optional(),
  containerPort: integer(1, 65_535),
  protocol: text(
    (value) => (value === 'TCP' ? null : 'functions speak HTTP over TCP: write TCP'),
    'unsupported',
  ).optional(),
})

const OWN_USER = 'functions run as the user who runs mayfly: remove the field'

const securityContext = mapping({
  allowPrivilegeEscalation: z.literal(false).optional(),
  capabilities: ignored(),
  privileged: z.literal(false).optional(),
  readOnlyRootFilesystem: z.boolean().optional(),
  runAsNonRoot: z.boolean().optional(),
  runAsUser: unsupported(OWN_USER),
  runAsGroup: unsupported(OWN_USER),
  seccompProfile: ignored(),
})

export const container = across(
  mapping({
    name: text(checkDnsLabel).optional(),
    image: reading(readImage),
    command: filledList(text(checkArgument), 1_024).optional(),
    args: list(text(checkArgument), 1_024).optional(),
    env: list(variable, 1_024).default([]),
    ports: list(port).default([]),
    readinessProbe: readinessProbe.optional(),
    livenessProbe: unsupported(
      'liveness probes are not available: an instance that exits is restarted; remove the field',
    ),
    startupProbe: unsupported('startup probes are not available: use readinessProbe'),
    resources: resourceRequirements.optional(),
    workingDir: text(checkArgument).optional(),
    securityContext: securityContext.optional(),
    envFrom: unsupported('config maps and secrets do not exist here: list the variables in env'),
    volumeMounts: unsupported('volumes do not exist here: remove the field'),
    imagePullPolicy: ignored(),
    terminationMessagePath: ignored(),
    terminationMessagePolicy: ignored(),
  }),
  checkContainer,
)

function checkContainer(value: Readonly<Record<string, unknown>>, context: CheckContext): void {
  checkPorts(value, context)
  checkVariables(value.env, context)
  const image = value.image
  if (!isMapping(image)) return
  for (const [field, reason] of Object.entries(MEANINGLESS[String(image.kind)] ?? {})) {
    const given = value[field]
    if (given !== undefined && !(Array.isArray(given) && given.length === 0))
      report(context, 'conflict', reason, [field])
  }
  if (image.kind === 'host' && value.command === undefined) {
    report(
      context,
      'missing-field',
      'image "host" runs a program of this machine: say which in command, for example command: ["python3", "server.py"]',
      ['command'],
    )
  }
}

function checkPorts(value: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const ports: unknown[] = Array.isArray(value.ports) ? value.ports : []
  if (ports.length > 1)
    report(context, 'unsupported', 'a function has one port: remove the others', ['ports', 1])
  const own = isMapping(ports[0]) ? ports[0] : {}
  const number = own.containerPort ?? DEFAULT_PORT
  const probe = isMapping(value.readinessProbe) ? value.readinessProbe : {}
  for (const handler of ['httpGet', 'tcpSocket']) {
    const asked = isMapping(probe[handler]) ? probe[handler].port : undefined
    const fits =
      asked === undefined || asked === 0 || asked === number || (own.name !== undefined && asked === own.name)
    if (!fits && (typeof asked === 'number' || typeof asked === 'string')) {
      report(
        context,
        'unsupported',
        `an instance is probed at its own port: write ${number}, or remove the field`,
        ['readinessProbe', handler, 'port'],
      )
    }
  }
}

function checkVariables(env: unknown, context: CheckContext): void {
  const seen = new Set<unknown>()
  if (!Array.isArray(env)) return
  env.forEach((variable: unknown, index) => {
    if (!isMapping(variable) || typeof variable.name !== 'string') return
    if (seen.has(variable.name))
      report(context, 'conflict', `${quote(variable.name)} is set twice`, ['env', index, 'name'])
    seen.add(variable.name)
  })
}

function checkFreeVariable(name: string): string | null {
  const reserved = RESERVED.has(name) || name.startsWith('MAYFLY_')
  return reserved
    ? `${quote(name)} is set by the mesh for each instance: choose another name`
    : checkVariableName(name)
}

function checkPortName(name: string): string | null {
  if (name === '' || name === 'http1') return null
  if (name === 'h2c') return 'HTTP/2 is not available yet: write http1'
  return `${quote(name)} is not a protocol: write http1, or remove the field`
}

const RESERVED = new Set([
  'PORT',
  'K_SERVICE',
  'K_CONFIGURATION',
  'K_REVISION',
  'HTTP_PROXY',
  'http_proxy',
  'NO_PROXY',
  'no_proxy',
])

const ELSEWHERE = 'an "endpoint:" function is run by somebody else: remove the field'
const OWN_HOST = 'a "file:" function is run by the mesh itself: remove the field, or use image "host"'

/** Fields that contradict the form of the image. */
const MEANINGLESS: Record<string, Record<string, string>> = {
  file: { command: OWN_HOST, args: OWN_HOST },
  endpoint: {
    command: ELSEWHERE,
    args: ELSEWHERE,
    env: ELSEWHERE,
    workingDir: ELSEWHERE,
    readinessProbe: ELSEWHERE,
  },
}
