// One engine in a process of its own: it speaks with the process that started it over its IPC channel and ends with it.

import { readFileSync } from 'node:fs'
import { Engine } from '../dataplane/engine.ts'
import type { FromEngine, ToEngine } from '../dataplane/engine-messages.ts'
import { loadSidecars } from '../dataplane/sidecar.ts'
import { BareSidecars } from '../study/bare-sidecars.ts'
import { type AccessLogCounters, openAccessLog } from '../telemetry/access-log-writer.ts'
import { SpanExporter } from '../telemetry/span-exporter.ts'
import { releaseMemorySoon } from './release-memory.ts'
import { sidecarWasm } from './sidecar-wasm.ts'

/** So many functions in one message leave behind what is worth collecting. */
const MANY = 64

function run(): void {
  const send = (message: FromEngine) => process.send!(message)
  // The study's baseline runs without sidecars.
  const sidecars = process.argv[3] === 'bare' ? new BareSidecars() : loadSidecars(readFileSync(sidecarWasm()))
  const spans = new SpanExporter()
  let accessLog = openAccessLog('')
  /** All that were open so far, since each counts for itself. */
  const accessLogs = [accessLog]
  let accessLogFile = ''
  let engine: Engine | null = null

  const reopen = (file: string) => {
    if (file === accessLogFile) return
    accessLogFile = file
    accessLog.close()
    accessLog = openAccessLog(file)
    accessLogs.push(accessLog)
  }

  /** What waits to be written or sent goes out before control hears that nothing is left. */
  const end = async (drained: FromEngine) => {
    await Promise.all([accessLog.close(), spans.close()])
    send(drained)
  }

  process.on('message', (message: ToEngine) => {
    if (message.type === 'functions' && message.upsert.length >= MANY) releaseMemorySoon()
    if (engine) return engine.receive(message)
    if (message.type !== 'mesh') throw new Error(`the first message is ${message.type}, not mesh`)
    reopen(message.mesh.accessLogFile)
    engine = new Engine(sidecars, message.mesh, {
      send: (out) => {
        if (out.type === 'drained') return void end(out)
        send(out)
      },
      writeLog: (line) => accessLog.write(line),
      recordSpan: (facts) => spans.record(facts),
      counters: () => ({
        spans: { ...spans.counters },
        accessLog: sumOf(accessLogs.map((log) => log.counters)),
      }),
      meshChanged: (mesh) => reopen(mesh.accessLogFile),
    })
  })
  // Notices go where the mesh process's go; requests are served whether anybody reads them or not.
  process.stderr.on('error', () => {})
  // The mesh process is gone, whatever way: nothing may outlive it.
  process.on('disconnect', () => process.exit(0))
  // A terminal's Ctrl-C reaches the whole process group; the mesh process decides what becomes of it.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})
  process.on('SIGHUP', () => accessLog.reopen())
  send({ type: 'up' })
}

function sumOf(all: readonly Readonly<AccessLogCounters>[]): Record<keyof AccessLogCounters, number> {
  const sum = { written: 0, dropped: 0, failed: 0 }
  for (const counters of all) for (const name of NAMES) sum[name] += counters[name]
  return sum
}

const NAMES = ['written', 'dropped', 'failed'] as const

run()
