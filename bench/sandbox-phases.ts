import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { readManifests } from '../src/api/read-manifests.ts'
import { compileMesh } from '../src/control/compile-mesh.ts'
import { ipBytes } from '../src/dataplane/ip-bytes.ts'
import { RandomBytes } from '../src/dataplane/random-bytes.ts'
import { type ConnectionFacts, loadSidecars, Sidecars } from '../src/dataplane/sidecar.ts'
import { SidecarSandboxes } from '../src/dataplane/sidecar-sandboxes.ts'
import { loadModule } from '../src/sandbox/load-module.ts'
import {
  DIRECTION_INGRESS,
  POLICY_AUTHORIZATION,
  VERDICT_ALLOW,
  VERDICT_SIZE,
} from '../src/sidecar/layout/record.ts'
import { authorization, meshConfig, NAMESPACE, service, telemetry } from './manifests.ts'
import { newInstanceModule, sharedSandboxModule } from './new-instance.ts'
import { REPLY_BODY, RULES, requestHead } from './workload.ts'

/** The phases that are timed; each call is one whole phase in a sandbox of its own and throws if its result is wrong. */
export type Phases = {
  /** The request phase as engines run it: a proved reset. */
  request(): void
  /** The same in a new memory and instance. */
  requestInNewInstance(): void
  response(): void
  /** A request phase that runs out of fuel and so is refused. */
  trap(): void
}

const functionName = 'api'
const workloadPort = 8080
const pages = 1
const largePages = 16
const fuel = 8_000_000
/** Enough to begin a head, not to end one. */
const littleFuel = 500

export function preparePhases(): Phases {
  const wasm = readFileSync(join(import.meta.dirname, '..', 'build', 'sidecar.wasm'))
  const policy = compiledPolicy()
  const received = Buffer.from(requestHead(`${functionName}.${NAMESPACE}.localhost`), 'latin1')
  const reply = replyHead()
  const target = `${NAMESPACE}/${functionName}`
  const facts = connectionFacts()
  const random = new RandomBytes()
  const sidecars = loadSidecars(wasm)

  const request = (sandboxes: Sidecars) => {
    const opened = sandboxes.open(received, 0, received.length, facts, Date.now(), random.take())
    if (opened.kind !== 'opened') throw new Error(`open ended as ${JSON.stringify(opened)}`)
    const decision = sandboxes.decide(policy, target, workloadPort)
    if (decision.kind !== 'forward') throw new Error(`decide ended as ${JSON.stringify(decision)}`)
    return decision
  }
  const { verdicts, context, head, trace } = request(sidecars)
  checkVerdict(verdicts)
  if (trace === '' || !head.includes('\r\ntraceparent: '))
    throw new Error('the request phase made no trace fields')

  const large = sharedSandboxModule(moduleOf(wasm, largePages, fuel))
  const renewed = newInstanceModule(wasm, pages, fuel)
  const starved = new Sidecars(new SidecarSandboxes(moduleOf(wasm, pages, littleFuel), large))
  return {
    request() {
      request(sidecars)
    },
    requestInNewInstance() {
      request(new Sidecars(new SidecarSandboxes(renewed, large)))
    },
    response() {
      const decision = sidecars.respond(
        policy,
        context,
        reply,
        0,
        reply.length,
        Date.now(),
        '127.0.0.1:9001',
        0,
      )
      if (decision.kind !== 'head' || decision.log === null) {
        throw new Error(`respond ended as ${JSON.stringify(decision)}`)
      }
    },
    trap() {
      const opened = starved.open(received, 0, received.length, facts, Date.now(), random.take())
      if (opened.kind !== 'failed' || !opened.reason.includes('fuel')) {
        throw new Error(`a run without fuel ended as ${JSON.stringify(opened)}`)
      }
    },
  }
}

// The same policies as the mesh of the forward bench: ten rules, every request traced and logged.
function compiledPolicy(): Buffer {
  const text = [
    meshConfig({ engines: 1, accessLog: '/dev/null', sinkPort: 4318 }),
    telemetry(),
    service(functionName, 'endpoint:127.0.0.1:9001'),
    authorization(functionName, RULES),
  ]
    .map((manifest) => stringify(manifest))
    .join('---\n')
  const read = readManifests([{ path: 'bench.yaml', text }])
  if (!read.ok) throw new Error(JSON.stringify(read.errors))
  const compiled = compileMesh(read.resources)
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.errors))
  return compiled.mesh.functions.get(`${NAMESPACE}/${functionName}`)!.policy.bytes
}

function connectionFacts(): ConnectionFacts {
  const loopback = ipBytes('127.0.0.1')
  return {
    direction: DIRECTION_INGRESS,
    peer: '',
    sourceIp: loopback,
    sourcePort: 50_000,
    localIp: loopback,
    localPort: 8080,
    tls: false,
  }
}

function moduleOf(wasm: Uint8Array, pages: number, fuel: number) {
  const loaded = loadModule(wasm, { pages, fuel })
  if (!loaded.ok) throw new Error(`the guest is refused: ${loaded.refusal.message}`)
  return loaded.module
}

// All ten rules were tried: the last one allowed it.
function checkVerdict(verdicts: Buffer): void {
  for (let at = 0; at < verdicts.length; at += VERDICT_SIZE) {
    if (verdicts[at] !== POLICY_AUTHORIZATION) continue
    const rule = verdicts.readUInt16LE(at + 2)
    if (verdicts[at + 1] === VERDICT_ALLOW && rule === RULES.length - 1) return
    throw new Error(`authorization ended with verdict ${verdicts[at + 1]} by rule ${rule}`)
  }
  throw new Error('authorization gave no verdict')
}

function replyHead(): Buffer {
  const lines = [
    'HTTP/1.1 200 OK',
    'Server: nginx/1.22.1',
    'Date: Tue, 24 Nov 2026 13:24:00 GMT',
    'Content-Type: text/plain',
    `Content-Length: ${REPLY_BODY.length}`,
    'Connection: keep-alive',
  ]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}
