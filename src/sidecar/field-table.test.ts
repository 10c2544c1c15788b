import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { FIELD_NAMES, hashFieldName } from './layout/field-names.ts'
import * as ids from './layout/fields.ts'

const names = FIELD_NAMES.slice(1)

test('every id stands at the place of its name', () => {
  for (const [constant, id] of Object.entries(ids)) {
    if (!/^FIELD_/.test(constant) || /OTHER|INTERNAL|SLOT/.test(constant)) continue
    assert.equal(FIELD_NAMES[id]?.toUpperCase().replaceAll('-', '_'), constant.slice('FIELD_'.length))
  }
  assert.ok(names.length < ids.FIELD_INTERNAL)
})

test("the guest's tables are those of the names", () => {
  const slots = new Array<number>(128).fill(0)
  for (const [i, name] of names.entries()) {
    const slot = Math.imul(hashFieldName(name), ids.FIELD_SLOT_MULTIPLIER) >>> 25
    assert.equal(
      slots[slot],
      0,
      `${name} and ${FIELD_NAMES[slots[slot]!]} share slot ${slot}: find another multiplier`,
    )
    slots[slot] = i + 1
  }
  const starts = [0, 0]
  for (const name of names) starts.push(starts.at(-1)! + name.length)
  const bytes = [...Buffer.from(names.join(''), 'latin1')]
  const source = readFileSync(join(import.meta.dirname, 'field-table.ts'), 'utf8')
  for (const [table, expected] of Object.entries({ SLOTS: slots, STARTS: starts, NAMES: bytes })) {
    const literal =
      new RegExp(`const ${table} = memory.data<u\\d+>\\(\\[([^\\]]*)\\]`).exec(source)?.[1] ?? ''
    const found = literal
      .split(',')
      .map((text) => text.trim())
      .filter(Boolean)
      .map(Number)
    assert.deepEqual(found, expected, `${table} must be [${expected.join(', ')}]`)
  }
})
