import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readHop, withHop } from './hop.ts'
import { functionOfServerName, serverName } from './server-name.ts'

const label = fc.stringMatching(/^[a-z0-9](?:[a-z0-9-]{0,20}[a-z0-9])?$/)
const port = fc.integer({ min: 0, max: 65_535 })
const address = fc.uint8Array({ minLength: 16, maxLength: 16 })

test('what one engine writes of a request the next one reads', () => {
  const facts = fc.record({
    sourceIp: address,
    sourcePort: port,
    localIp: address,
    localPort: port,
    tls: fc.boolean(),
  })
  const caller = fc.option(fc.tuple(label, label).map((names) => names.join('/')))
  fc.assert(
    fc.property(label, facts, caller, (instance, one, from) => {
      const head = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
      const whole = withHop(Buffer.from(head), { instance, facts: one, caller: from }).toString('latin1')
      const [, value] = /^GET \/ HTTP\/1\.1\r\nhost: a\r\nx-mayfly-instance: (.*)\r\n\r\n$/.exec(whole)!
      const read = readHop(value!)!
      assert.equal(read.instance, instance)
      assert.equal(read.caller, from)
      assert.deepEqual(
        { ...read.facts },
        { ...one, sourceIp: Buffer.from(one.sourceIp), localIp: Buffer.from(one.localIp) },
      )
    }),
  )
})

test('what no engine writes is not read', () => {
  const ip = '0'.repeat(32)
  assert.ok(readHop(`i;${ip};1;${ip};2;0;`))
  for (const value of [
    '',
    'i',
    `i;${ip};1;${ip};2;0`,
    `;${ip};1;${ip};2;0;`,
    `i;${ip};65536;${ip};2;0;`,
    `i;${ip};1;${ip};99999;0;`,
    `i;${ip}0;1;${ip};2;0;`,
    `i;${ip};1;${ip};2;2;`,
    `i;${ip};1;${ip};2;0;x`,
    `i;${ip};1;${ip};2;0;a.b;`,
    `../i;${ip};1;${ip};2;0;`,
    `i;${ip.replace('0', 'A')};1;${ip};2;0;`,
  ]) {
    assert.equal(readHop(value), null, value)
  }
})

test('a server name is read back as its function, and no other form is', () => {
  fc.assert(
    fc.property(label, label, port, (namespace, name, number) => {
      const key = `${namespace}/${name}`
      assert.equal(functionOfServerName(serverName(key, number)), key)
    }),
  )
  for (const name of [
    '',
    'cart.shop',
    'outbound_.80_._.cart.svc.cluster.local',
    'outbound_.x_._.cart.shop.svc.cluster.local',
    'outbound_.80_.v1_.cart.shop.svc.cluster.local',
    'outbound_.80_._.cart.shop.svc.cluster.local.',
    'inbound_.80_._.cart.shop.svc.cluster.local',
  ]) {
    assert.equal(functionOfServerName(name), null, name)
  }
})
