import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { QuotaAuthority } from './quota-authority.ts'
import { QuotaFile } from './quota-file.ts'
import type { QuotaReply } from './quota-message.ts'
import { quotaLimit } from './quota-testing.ts'

const root = mkdtempSync(join(tmpdir(), 'mayfly-quota-'))
after(() => rmSync(root, { recursive: true, force: true }))

const NOW = 1_790_000_000_000
const limit = quotaLimit({ requests: 3, windowMs: 60_000 })
const sliding = quotaLimit({ id: 'sliding', requests: 3, windowMs: 60_000, window: 'sliding' })

function authority(file: QuotaFile, now = NOW): QuotaAuthority {
  const made = new QuotaAuthority(() => now, file)
  made.setLimits([limit, sliding])
  return made
}

function ask(of: QuotaAuthority, name = limit.id, key = 'a'): number {
  const asks = [{ limit: name, key, waiting: 2, ahead: 0 }]
  const reply: QuotaReply = of.answer('node', { serial: 1, roundTripMs: 0, settlements: [], asks })
  const grant = reply.grants[0]!
  assert.equal(grant.kind, 'granted')
  return grant.kind === 'granted' ? grant.granted : 0
}

/** Another process leases two requests, and is killed. */
function leaseAndDie(folder: string, boot: string): void {
  const program = `
    const { QuotaFile } = await import(${JSON.stringify(import.meta.resolve('./quota-file.ts'))})
    const { QuotaAuthority } = await import(${JSON.stringify(import.meta.resolve('./quota-authority.ts'))})
    const authority = new QuotaAuthority(() => ${NOW}, QuotaFile.open(${JSON.stringify(folder)}, ${NOW}, ${JSON.stringify(boot)}))
    authority.setLimits(${JSON.stringify([limit])})
    const asks = [{ limit: ${JSON.stringify(limit.id)}, key: 'a', waiting: 2, ahead: 0 }]
    const { grants } = authority.answer('node', { serial: 1, roundTripMs: 0, settlements: [], asks })
    if (grants[0].granted === 2) process.kill(process.pid, 'SIGKILL')`
  const ran = spawnSync(process.execPath, ['--input-type=module', '--no-warnings', '--eval', program])
  assert.equal(ran.signal, 'SIGKILL', ran.stderr.toString())
}

test('what one authority leased, the one after it knows, though the first was killed', () => {
  const folder = join(root, 'restart')
  leaseAndDie(folder, 'boot-1')
  const file = QuotaFile.open(folder, NOW + 1_000, 'boot-1')
  assert.equal(file.unknownBefore, null)
  assert.equal(ask(authority(file, NOW + 1_000)), 1)
  assert.equal(ask(authority(file, NOW + 2_000)), 0)
  assert.equal(ask(authority(file, NOW + 60_000)), 2)
  file.close()
})

test('a mesh that ended in order is trusted after the machine was started anew; one that was killed is not', () => {
  const folder = join(root, 'boot')
  const first = QuotaFile.open(folder, NOW, 'boot-1')
  ask(authority(first))
  first.close()
  const second = QuotaFile.open(folder, NOW + 1_000, 'boot-2')
  assert.equal(second.unknownBefore, null)
  assert.equal(ask(authority(second, NOW + 1_000)), 1)
  second.close()
  leaseAndDie(join(root, 'killed'), 'boot-1')
  const third = QuotaFile.open(join(root, 'killed'), NOW + 2_000, 'boot-2')
  assert.equal(third.unknownBefore, NOW + 2_000)
  const later = authority(third, NOW + 3_000)
  assert.equal(ask(later, limit.id, 'new'), 0)
  assert.equal(ask(later, sliding.id, 'new'), 0)
  assert.equal(ask(authority(third, NOW + 60_000), limit.id, 'newer'), 2)
  third.close()
})

test('two meshes of one folder have a file each', () => {
  const folder = join(root, 'two')
  const one = QuotaFile.open(folder, NOW)
  const other = QuotaFile.open(folder, NOW)
  assert.equal(ask(authority(one)), 2)
  assert.equal(ask(authority(other)), 2)
  one.close()
  const again = QuotaFile.open(folder, NOW)
  assert.equal(ask(authority(again)), 1)
  again.close()
  other.close()
})
