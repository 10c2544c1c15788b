import assert from 'node:assert/strict'
import { test } from 'node:test'
import { check } from './check.ts'
import { emptyHistory, type FaultRecord, type FunctionRecord, type History } from './history.ts'

const BOUNDS = {
  recoveryMs: 5_000,
  concurrency: { f: 1 },
  quota: { function: 'q', requests: 2, windowMs: 1_000 },
}

const fault = (begin: number, end: number, more: Partial<FaultRecord> = {}): FaultRecord => ({
  name: 'fault',
  begin,
  end,
  disturbs: true,
  leavesRequests: false,
  ...more,
})
const request = (id: string, begin: number, end: number, status = 200, key = 'f') => ({
  id,
  function: key,
  begin,
  end,
  status,
  error: '',
})
const ran = (id: string, begin: number, end: number, key = 'f'): FunctionRecord[] => [
  { what: 'begin', instance: 'i', function: key, id, at: begin },
  { what: 'end', instance: 'i', function: key, id, at: end },
]
const apply = (n: number, begin: number, end: number, acknowledged = true) => ({
  name: 'r',
  n,
  begin,
  end,
  acknowledged,
})
const list = (begin: number, end: number, value?: number) => ({
  begin,
  end,
  values: value === undefined ? {} : { r: value },
})
const violations = (history: Partial<History>) => check({ ...emptyHistory(), ...history }, BOUNDS).violations

test('a failure is excused by a disturbance, and no longer than recovery may take', () => {
  const requests = [request('a', 100, 200, 502)]
  assert.equal(violations({ requests }).length, 1)
  assert.equal(violations({ requests, faults: [fault(150, 160)] }).length, 0)
  assert.equal(violations({ requests, faults: [fault(150, 160, { disturbs: false })] }).length, 1)
  const late = [request('b', 5_200, 5_300, 0)]
  assert.equal(violations({ requests: late, faults: [fault(50, 100)] }).length, 1)
})

test('a limit that nobody can count denies; that is no failure while control is away', () => {
  const requests = [request('a', 100, 200, 503, 'q')]
  assert.equal(violations({ requests, faults: [fault(90, 110, { disturbs: false })] }).length, 0)
  assert.equal(violations({ requests }).length, 1)
})

test('requests at once at an instance count, unless their engine may be dead', () => {
  const functions = [...ran('a', 0, 100), ...ran('b', 50, 80)]
  assert.match(violations({ functions })[0]!, /2 requests at once/)
  assert.equal(violations({ functions, faults: [fault(60, 70, { leavesRequests: true })] }).length, 0)
  assert.equal(violations({ functions: [...ran('a', 0, 100), ...ran('b', 100, 180)] }).length, 0)
})

test('an instance is started once', () => {
  const start = { what: 'start' as const, instance: 'i', function: 'f', pid: 1, at: 0 }
  assert.equal(violations({ functions: [start] }).length, 0)
  assert.match(violations({ functions: [start, { ...start, pid: 2 }] })[0]!, /started 2 times/)
})

test('a limit is exceeded where no order of the decisions keeps to it', () => {
  const requests = ['a', 'b', 'c'].map((id) => request(id, 100, 300, 200, 'q'))
  const at = (end: number) => [
    ...ran('a', 110, 111, 'q'),
    ...ran('b', 120, 121, 'q'),
    ...ran('c', end, end, 'q'),
  ]
  assert.match(violations({ requests, functions: at(200) })[0]!, /3 requests passed to q/)
  // It may have been decided in the next window.
  assert.equal(violations({ requests, functions: at(1_200) }).length, 0)
})

test('an acknowledged writing is read until the next one', () => {
  const applies = [apply(1, 0, 10), apply(2, 20, 30)]
  assert.equal(violations({ applies, lists: [list(40, 50, 2)] }).length, 0)
  assert.match(violations({ applies, lists: [list(40, 50, 1)] })[0]!, /was read as 1/)
  assert.match(violations({ applies, lists: [list(40, 50)] })[0]!, /was read as absent/)
  assert.match(violations({ applies, lists: [list(12, 15, 2)] })[0]!, /was read as 2/)
  assert.equal(violations({ applies, lists: [list(25, 35, 1)] }).length, 0)
})

test('a writing that was not acknowledged may come into force, or never', () => {
  const applies = [apply(1, 0, 10), apply(2, 20, 30, false)]
  for (const value of [1, 2]) assert.equal(violations({ applies, lists: [list(40, 50, value)] }).length, 0)
})

test('a long time without a success needs a fault as long', () => {
  const requests = [request('a', 0, 10), request('b', 8_000, 8_010)]
  assert.match(violations({ requests })[0]!, /no success for 8000 ms/)
  assert.equal(violations({ requests, faults: [fault(100, 3_500)] }).length, 0)
})
