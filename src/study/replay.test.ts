import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { parse } from 'csv-parse/sync'
import { parseAllDocuments } from 'yaml'
import type { Mesh, MeshUsage, StartMesh } from './mesh.ts'
import { type RawReplayOptions, replayOptions } from './options.ts'
import { runReplay } from './replay.ts'

/** Two functions, invoked 12 and 3 times in the first minute and once in the second. */
async function folders(): Promise<{ trace: string; out: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'replay-'))
  const trace = join(folder, 'trace')
  await mkdir(trace)
  await writeFile(
    join(trace, 'invocations.csv'),
    'HashFunction,Trigger,480,481\nf1,timer,12,0\nf2,http,3,1\n',
  )
  const durations = [0, 1, 25, 50, 75, 99, 100].map((p) => `percentile_Average_${p}`)
  await writeFile(
    join(trace, 'durations.csv'),
    `HashFunction,Count,${durations}\nf1,9,1,1,2,2,3,3,4\nf2,9,1,1,2,2,3,3,4\n`,
  )
  const memory = [1, 5, 25, 50, 75, 95, 99, 100].map((p) => `AverageAllocatedMb_pct${p}`)
  await writeFile(
    join(trace, 'memory.csv'),
    `HashFunction,SampleCount,${memory}\nf1,9,1,1,1,1,1,1,1,1\nf2,9,1,1,1,1,1,1,1,1\n`,
  )
  return { trace, out: join(folder, 'out'), [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) }
}

interface Stage {
  readonly start: StartMesh
  stopped(): boolean
}

/** A mesh of one node:http server that runs the work module of the manifests it was given. */
function stage(broken: (request: number) => boolean = () => false): Stage {
  let stopped = false
  let requests = 0
  const start: StartMesh = async (manifests) => {
    const services = parseAllDocuments(await readFile(join(manifests, 'functions.yaml'), 'utf8')).map((one) =>
      one.toJS(),
    )
    const image: string = services[0].spec.template.spec.containers[0].image
    const { default: work } = await import(pathToFileURL(join(manifests, image.replace('file:', ''))).href)
    const hosts = new Set(services.map((one) => `${one.metadata.name}.${one.metadata.namespace}.localhost`))
    const server = createServer(async (request, response) => {
      if (broken(++requests)) return void response.writeHead(503).end('broken')
      if (!hosts.has(request.headers.host!))
        return void response.writeHead(404).end(`no function ${request.headers.host}`)
      const answer: Response = await work.fetch(new Request(`http://${request.headers.host}${request.url}`))
      response.end(await answer.text())
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const mesh: Mesh = {
      gateway: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      host: (key) => `${key.split('/').reverse().join('.')}.localhost`,
      usage: async (): Promise<MeshUsage> => ({
        runtimeCpuMs: requests,
        runtimeRssBytes: 1,
        functionsCpuMs: 0,
        functionsRssBytes: 1,
        sandboxesRun: requests * 2,
        instancesStarted: 2,
      }),
      async stop() {
        server.closeAllConnections()
        await new Promise((resolve) => server.close(resolve))
        stopped = true
      },
    }
    return mesh
  }
  return { start, stopped: () => stopped }
}

function options(raw: RawReplayOptions) {
  const checked = replayOptions(raw)
  assert.ok(checked.ok, JSON.stringify(checked))
  return checked.value
}

function screen() {
  const written: string[] = []
  return {
    write: (text: string | Uint8Array) => written.push(String(text)) > 0,
    text: () => written.join(''),
  }
}

const never = new AbortController().signal

async function rows(out: string): Promise<Record<string, string>[]> {
  return parse(await readFile(join(out, 'invocations.csv'), 'utf8'), { columns: true })
}

test('a whole replay: manifests, load, report, exit code 0', async () => {
  await using dir = await folders()
  const mesh = stage()
  const shown = screen()
  const result = await runReplay(options({ trace: dir.trace, out: dir.out, speedup: '300' }), mesh.start, {
    screen: shown,
    signal: never,
  })
  assert.equal(result.kind, 'replayed')
  assert.ok(result.kind === 'replayed')
  assert.equal(result.exitCode, 0, result.text)
  assert.ok(mesh.stopped())
  assert.deepEqual((await readdir(dir.out)).sort(), [
    'invocations.csv',
    'manifests',
    'summary.json',
    'summary.txt',
  ])
  const summary = JSON.parse(await readFile(join(dir.out, 'summary.json'), 'utf8'))
  assert.deepEqual(summary.invocations, {
    planned: 16,
    sent: 16,
    succeeded: 16,
    failed: 0,
    notSent: 0,
    unknown: 0,
  })
  assert.equal(summary.usage.counters.sandboxesRun, 32)
  const csv = await rows(dir.out)
  assert.deepEqual(
    ['f1', 'f2'].map((hash) =>
      [0, 1].map(
        (minute) => csv.filter((row) => row.function === hash && row.minute === String(minute)).length,
      ),
    ),
    [
      [12, 0],
      [3, 1],
    ],
  )
  assert.equal(await readFile(join(dir.out, 'summary.txt'), 'utf8'), result.text)
  assert.match(shown.text(), /16\/16 sent, 16 done/)

  // A second run into the same folder replaces the first.
  const again = await runReplay(
    options({ trace: dir.trace, out: dir.out, speedup: '300', functions: '1' }),
    stage().start,
    { screen: shown, signal: never },
  )
  assert.ok(again.kind === 'replayed' && again.exitCode === 0)
  assert.equal((await rows(dir.out)).length, 12)
})

test('failing invocations are counted and listed, and the exit code is 1', async () => {
  await using dir = await folders()
  const result = await runReplay(
    options({ trace: dir.trace, out: dir.out, speedup: '300' }),
    stage((request) => request === 4).start,
    { screen: screen(), signal: never },
  )
  assert.ok(result.kind === 'replayed')
  assert.equal(result.exitCode, 1)
  assert.deepEqual(result.summary.failures, { 'status 503': 1 })
  assert.match(result.text, /status: 503 broken/)
  assert.deepEqual(
    (await rows(dir.out)).filter((row) => row.failure !== '').map((row) => row.detail),
    ['503 broken'],
  )
})

test('stopped in the middle: reports what it has, says it is partial, exit code 130, the mesh is stopped', async () => {
  await using dir = await folders()
  const controller = new AbortController()
  // At speedup 1 all but the first invocations are still to come when the first is answered.
  const mesh = stage((request) => {
    if (request === 2) controller.abort()
    return false
  })
  const result = await runReplay(options({ trace: dir.trace, out: dir.out }), mesh.start, {
    screen: screen(),
    signal: controller.signal,
  })
  assert.ok(result.kind === 'replayed')
  assert.equal(result.exitCode, 130)
  assert.equal(result.summary.state.kind, 'partial')
  assert.ok(result.summary.invocations.notSent > 0)
  assert.match(result.text, /^PARTIAL/)
  assert.ok(mesh.stopped())
})

test('a bad trace, too many minutes, a foreign file among the manifests: refused before any mesh is started', async () => {
  await using dir = await folders()
  const start: StartMesh = async () => assert.fail('started')
  const codes = async (raw: RawReplayOptions) => {
    const result = await runReplay(options({ trace: dir.trace, out: dir.out, ...raw }), start, {
      screen: screen(),
      signal: never,
    })
    assert.ok(result.kind === 'refused' && result.exitCode === 2)
    return result.problems.map((one) => one.code)
  }
  assert.deepEqual(await codes({ minutes: '3' }), ['study/minutes'])
  assert.deepEqual(await codes({ trace: join(dir.trace, 'nowhere') }), [
    'study/file-unreadable',
    'study/file-unreadable',
    'study/file-unreadable',
  ])
  await mkdir(join(dir.out, 'manifests'), { recursive: true })
  await writeFile(join(dir.out, 'manifests', 'mine.yaml'), '')
  assert.deepEqual(await codes({}), ['study/out-not-ours'])
})

test('the mesh is stopped when it fails in the middle', async () => {
  await using dir = await folders()
  const mesh = stage()
  const start: StartMesh = async (...given) => ({
    ...(await mesh.start(...given)),
    host: () => assert.fail('no such function'),
  })
  await assert.rejects(
    runReplay(options({ trace: dir.trace, out: dir.out }), start, { screen: screen(), signal: never }),
    /no such function/,
  )
  assert.ok(mesh.stopped())
})
