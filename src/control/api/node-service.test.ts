// A node in wrong hands: whom it may attach as, and what it may say of itself.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { Code, type ConnectError, createClient } from '@connectrpc/connect'
import { type Hello, NodeService } from '../proto/mayfly/v1/nodes_pb.js'
import { checkControlPlane, controlPlanePrincipal, nodePrincipal } from './asker.ts'
import { type ControlIdentity, newIdentity, newRequest } from './control-identity.ts'
import { DOMAIN, type Said, TestPlane } from './node-testing.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-nodes-'))
let plane: TestPlane

before(async () => {
  plane = await TestPlane.start(folder)
  await plane.apply('pay', 'cart')
})

afterEach(() => plane.endNodes())

after(async () => {
  await plane.close()
  rmSync(folder, { recursive: true, force: true })
})

describe('who may attach', () => {
  test('is the node that joined, by the key that it joined with', async () => {
    const first = await plane.join('solo')
    const second = await plane.join('solo')
    const displaced = await plane.attach('solo', first).ended
    assert.equal(displaced?.code, Code.PermissionDenied)
    assert.match(displaced!.message, /not one of the mesh: join with a new token/)
    // Certified by the same plane.authority, but for no key that has joined.
    const forged = await newIdentity(plane.authority, nodePrincipal(DOMAIN, 'solo'))
    assert.equal((await plane.attach('solo', forged).ended)?.code, Code.PermissionDenied)
    const stranger = await newIdentity(plane.authority, nodePrincipal(DOMAIN, 'never-joined'))
    assert.equal((await plane.attach('never-joined', stranger).ended)?.code, Code.PermissionDenied)
    const workload = await newIdentity(plane.authority, `${DOMAIN}/ns/shop/sa/pay`)
    assert.equal((await plane.attach('x', workload).ended)?.code, Code.Unauthenticated)
    const node = plane.attach('solo', second)
    node.hello()
    await node.order(({ what }) => what.case === 'syncEnd')
    // Its name is nobody else's while it is at work, and a token that was tried with it is not used up.
    const { token } = await plane.admin.createJoinToken({ role: 'node' })
    const { request } = await newRequest()
    const joining = createClient(NodeService, plane.transport(null))
    await assert.rejects(
      joining.join({ token, name: 'solo', certificateRequest: request }),
      (error: ConnectError) => error.code === Code.AlreadyExists,
    )
    await joining.join({ token, name: 'other', certificateRequest: request })
  })

  test('renews its key: the new one is good, and the one before it until then', async () => {
    const own = await plane.join('renewed')
    const asked = await newRequest()
    const renew = (identity: ControlIdentity, request: Uint8Array) =>
      createClient(NodeService, plane.transport(identity)).renew({ certificateRequest: request })
    const renewed = await renew(own, asked.request)
    // The answer may have been lost: the key before is good for another try.
    await renew(own, asked.request)
    const next = { certificate: renewed.certificates, key: asked.key }
    const again = await newRequest()
    await renew(next, again.request)
    assert.equal((await plane.attach('renewed', own).ended)?.code, Code.PermissionDenied)
  })

  test('ends when the node is deleted, at once', async () => {
    const node = await plane.attached()
    await plane.admin.deleteNode({ node: node.name })
    const ended = await node.ended
    assert.equal(ended?.code, Code.PermissionDenied)
    assert.match(ended!.message, /no part of the mesh any more: it was deleted/)
    await assert.rejects(plane.admin.deleteNode({ node: node.name }), /no node/)
  })

  test('servers are known as the control plane, not by any certificate of its authority', async () => {
    const subject = (principal: string) => ({ subjectaltname: `URI:spiffe://${principal}` }) as never
    assert.equal(checkControlPlane('h', subject(controlPlanePrincipal(DOMAIN))), undefined)
    for (const other of [nodePrincipal(DOMAIN, 'n1'), `${DOMAIN}/mayfly/client/a`, `${DOMAIN}/ns/a/sa/b`, ''])
      assert.match(String(checkControlPlane('h', subject(other))), /no control plane of the mesh/)
  })
})

describe('what a node says of itself', () => {
  const cases: [string, Partial<Hello>, RegExp][] = [
    ['a gateway by the token of a node', { gateway: true }, /joined as a node/],
    ["another node's engine", { engines: [{ engine: 'n0-engine-0', pid: 1 }] as never }, /no engine of node/],
    ['an engine called otherwise', { engines: [{ engine: 'x', pid: 1 }] as never }, /no engine of node/],
    ['no host', { host: 'a b' }, /no host/],
    ['no port', { port: 70_000 }, /no port/],
    ['a zone that is none', { zone: 'a'.repeat(100) }, /zone/],
    ['a version that is none', { version: '\u001b[2J' }, /version/],
    ['more CPUs than there are', { cpus: Number.POSITIVE_INFINITY }, /CPUs/],
    ['memory below zero', { memoryBytes: -1 }, /CPUs or its memory/],
    ['an instance in no state', { instances: [{ id: 'a', state: 'odd' }] as never }, /no state/],
    ['an instance with an odd id', { instances: [{ id: '../a', state: 'ready' }] as never }, /no id/],
  ]
  for (const [what, more, problem] of cases) {
    test(`is refused where it is ${what}`, async () => {
      const name = plane.newName()
      const node = plane.attach(name, await plane.join(name))
      node.hello(more)
      const ended = await node.ended
      assert.equal(ended?.code, Code.InvalidArgument)
      assert.match(ended!.message, problem)
      assert.equal(plane.registry.node(name), undefined)
    })
  }

  test('comes first, and does not become something else later', async () => {
    const name = plane.newName()
    const early = plane.attach(name, await plane.join(name))
    early.say({ case: 'pong', value: { serial: 1 } } as Said)
    assert.match((await early.ended)!.message, /first message is pong, not hello/)
    const node = await plane.attached()
    node.hello({ gateway: true })
    assert.match((await node.ended)!.message, /joined as a node/)
  })
})
