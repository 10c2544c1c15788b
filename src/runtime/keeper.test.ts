import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { INSTANCE_VARIABLE, RUN_VARIABLE, startKeeper } from './keeper.ts'
import { ended, isRunning, ON_LINUX } from './testing.ts'

const sleeper = (environment: Record<string, string>) =>
  spawn('sleep', ['1000'], {
    detached: true,
    stdio: 'ignore',
    env: { PATH: process.env.PATH, ...environment },
  }).pid!

test('closing kills the groups that were added and not those that were removed', async (t) => {
  const keeper = startKeeper(assert.fail)
  const groups = Array.from({ length: 12 }, () => sleeper({}))
  t.after(() => groups.filter(isRunning).forEach((pid) => void process.kill(pid, 'SIGKILL')))
  for (const group of groups) keeper.add(group)
  const removed = [groups[0]!, groups[5]!, groups[11]!]
  for (const group of removed) keeper.remove(group)
  await keeper.close()
  for (const group of groups) {
    if (removed.includes(group)) assert.ok(isRunning(group))
    else await ended(group)
  }
})

test('what an instance left behind is killed, by the exact name of the instance', ON_LINUX, async (t) => {
  const keeper = startKeeper(assert.fail)
  const left = sleeper({ [INSTANCE_VARIABLE]: 'shop-cart-00001-abcde' })
  const other = sleeper({ [INSTANCE_VARIABLE]: 'shop-cart-00001-abcdef' })
  const mine = sleeper({ [RUN_VARIABLE]: keeper.run })
  const strange = sleeper({ [RUN_VARIABLE]: `${keeper.run}0` })
  t.after(() =>
    [left, other, mine, strange].filter(isRunning).forEach((pid) => void process.kill(pid, 'SIGKILL')),
  )
  keeper.sweep('shop-cart-00001-abcde')
  keeper.sweep('shop-cart-00001-zzzzz')
  await ended(left)
  assert.ok(isRunning(other))
  assert.ok(isRunning(mine))
  await keeper.close()
  await ended(mine)
  assert.ok(isRunning(strange))
})
