// A function's own bounds: Knative's responseStartTimeoutSeconds and idleTimeoutSeconds, counted from the delivery.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type HttpMesh, type Instance, startHttpMesh, startInstance } from './http-world.ts'

const service = (name: string, bounds: string, address: string) => `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: ${name}, namespace: test}
spec: {template: {spec: {timeoutSeconds: 30, ${bounds}, containers: [{image: 'endpoint:${address}'}]}}}`

let mesh: HttpMesh
const instances: Record<string, Instance> = {}
before(async () => {
  for (const name of ['start', 'begun', 'idle', 'quiet', 'busy']) instances[name] = await startInstance()
  const bounds = (name: string) =>
    name === 'start' || name === 'begun' ? 'responseStartTimeoutSeconds: 1' : 'idleTimeoutSeconds: 1'
  const more = Object.entries(instances).map(([name, { address }]) => service(name, bounds(name), address))
  mesh = await startHttpMesh({}, { more: more.join('\n---\n') })
})
after(async () => {
  await mesh?.stop()
  for (const instance of Object.values(instances)) instance.close()
})

async function ask(name: string) {
  const client = await mesh.client()
  client.send(`GET / HTTP/1.1\r\nhost: ${name}.test.localhost\r\n\r\n`)
  const connection = await instances[name]!.accepted()
  await connection.receive(/\r\n\r\n$/)
  return { client, connection, start: performance.now() }
}

const BEGIN = 'HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc'

describe('all at once, since each waits', { concurrency: true }, () => {
  test('an answer that does not begin in time: 504, and the instance’s connection is closed', async () => {
    const { client, connection, start } = await ask('start')
    assert.match(await client.receive(/did not begin to answer within 1 s/), /^HTTP\/1\.1 504 /)
    const took = performance.now() - start
    assert.ok(took > 900 && took < 5_000, `${took} ms`)
    await connection.closed
    client.close()
  })

  test('an answer that has begun may take longer than its start', async () => {
    const { client, connection } = await ask('begun')
    connection.socket.write(BEGIN)
    await pause(1_500)
    connection.socket.write('def')
    assert.match(await client.receive(/abcdef$/), /^HTTP\/1\.1 200 /)
    client.close()
  })

  test('an instance that sends nothing before its head: 504', async () => {
    const { client, connection } = await ask('quiet')
    assert.match(await client.receive(/sent nothing for 1 s/), /^HTTP\/1\.1 504 /)
    await connection.closed
    client.close()
  })

  test('an instance that falls silent inside its answer: it is cut', async () => {
    const { client, connection } = await ask('idle')
    connection.socket.write(BEGIN)
    assert.match(await client.receive(), /\r\n\r\nabc$/)
    await connection.closed
  })

  test('an instance that goes on sending is never cut', async () => {
    const { client, connection } = await ask('busy')
    connection.socket.write(BEGIN)
    for (const part of ['d', 'e', 'f']) {
      await pause(600)
      connection.socket.write(part)
    }
    assert.match(await client.receive(/abcdef$/), /^HTTP\/1\.1 200 /)
    client.close()
  })
})

test('what was cut or refused is counted', () =>
  mesh.counted({ timedOut: 1, streamsIdle: 2, requestsInFlight: 0 }))

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
