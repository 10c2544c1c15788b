import assert from 'node:assert/strict'
import { test } from 'node:test'
import { labelsMatch, parseLabelSelector } from './label-selector.ts'

const LABELS = { app: 'cart', tier: 'back', 'a.io/zone': 'x-1', empty: '' }

const cases: [string, boolean][] = [
  ['', true],
  ['app=cart', true],
  ['app==cart,tier=back', true],
  ['app = cart , tier != front', true],
  ['app=shop', false],
  ['app!=shop', true],
  ['none!=shop', true],
  ['none=', false],
  ['empty=', true],
  ['tier', true],
  ['none', false],
  ['!none', true],
  ['!tier', false],
  ['tier in (front, back)', true],
  ['tier in (front)', false],
  ['tier notin (front,back)', false],
  ['none notin (a)', true],
  ['a.io/zone in (x-1),app', true],
]
for (const [text, matches] of cases) {
  test(`${JSON.stringify(text)} ${matches ? 'selects' : 'does not select'}`, () => {
    const parsed = parseLabelSelector(text)
    assert.ok(parsed.ok)
    assert.equal(labelsMatch(parsed.selector, LABELS), matches)
  })
}

for (const bad of [
  'app=',
  ',',
  'app=cart,',
  '=x',
  'app=a b',
  'app in a',
  'app in (a',
  'a(b)',
  'app>1',
  '!',
  'x in (a b)',
]) {
  test(`${JSON.stringify(bad)} is refused or means what it says`, () => {
    const parsed = parseLabelSelector(bad)
    assert.equal(parsed.ok, bad === 'app=')
  })
}
