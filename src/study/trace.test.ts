import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { readTrace } from './trace.ts'

const INVOCATIONS =
  'HashOwner,HashApp,HashFunction,Trigger,480,481,482\no,a,f1,timer,0,1,2\no,a,f2,http,3,0,0\n'
const DURATIONS =
  'HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,percentile_Average_1,percentile_Average_25,percentile_Average_50,percentile_Average_75,percentile_Average_99,percentile_Average_100\n' +
  'o,a,f2,71,288,0.0,1458.0,0,0,0,0,1,1265,1458\no,a,f1,327,288,62.0,3311.0,62,78,156,218,281,2107,3311\no,a,f9,1,1,1,1,1,1,1,1,1,1,1\n'
const MEMORY =
  'HashFunction,HashOwner,HashApp,SampleCount,AverageAllocatedMb,AverageAllocatedMb_pct1,AverageAllocatedMb_pct5,AverageAllocatedMb_pct25,AverageAllocatedMb_pct50,AverageAllocatedMb_pct75,AverageAllocatedMb_pct95,AverageAllocatedMb_pct99,AverageAllocatedMb_pct100\n' +
  'f1,o,a,22209,9.4,7.8,8.25,8.75,9.75,9.9,10.4,10.5,10.6\nf2,o,a,70035,22.7,20.4,21.1,22.2,22.8,23.5,24.1,24.1,42.1\n'

async function read(files: { invocations?: string; durations?: string; memory?: string | null }) {
  const folder = await mkdtemp(join(tmpdir(), 'trace-'))
  try {
    await writeFile(join(folder, 'invocations.csv'), files.invocations ?? INVOCATIONS)
    await writeFile(join(folder, 'durations.csv'), files.durations ?? DURATIONS)
    if (files.memory !== null) await writeFile(join(folder, 'memory.csv'), files.memory ?? MEMORY)
    return await readTrace(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** What is wrong, as `file:line:field:code`. */
async function wrong(files: Parameters<typeof read>[0]): Promise<string[]> {
  const trace = await read(files)
  assert.equal(trace.ok, false)
  return trace.problems.map(
    (one) => `${one.file!.split('/').at(-1)}:${one.line ?? ''}:${one.field ?? ''}:${one.code}`,
  )
}

test('joins the three files on HashFunction, in the order of invocations.csv', async () => {
  const trace = await read({})
  assert.ok(trace.ok)
  assert.equal(trace.value.firstMinute, 480)
  assert.equal(trace.value.minutes, 3)
  assert.deepEqual(
    trace.value.functions.map(({ hash, trigger, invocations, durations }) => [
      hash,
      trigger,
      [...invocations],
      durations[6],
    ]),
    [
      ['f1', 'timer', [0, 1, 2], 3311],
      ['f2', 'http', [3, 0, 0], 1458],
    ],
  )
  assert.deepEqual(trace.value.functions[1]!.memory.slice(0, 2), [20.4, 21.1])
})

test('CRLF, quotes, a byte order mark, empty lines, other columns, another order and 12.0 for 12 change nothing', async () => {
  const plain = await read({})
  const dressed = await read({
    invocations:
      '\uFEFF"480","HashFunction",481,"Trigger",482,Note\r\n\r\n0,"f1",1,timer,2.0,"a ""note"",\r\nin two lines"\r\n3,f2,0,http,0,\r\n',
  })
  assert.ok(plain.ok && dressed.ok)
  assert.deepEqual(dressed.value.functions, plain.value.functions)
})

test("Azure's own minutes count from 1", async () => {
  const minutes = Array.from({ length: 1440 }, (_, i) => i + 1)
  const trace = await read({
    invocations: `HashOwner,HashApp,HashFunction,Trigger,${minutes}\no,a,f1,timer,${minutes.map((m) => m % 7)}\n`,
  })
  assert.ok(trace.ok)
  assert.equal(trace.value.firstMinute, 1)
  assert.equal(trace.value.minutes, 1440)
  assert.equal(trace.value.functions[0]!.invocations[1439], 1440 % 7)
})

test('says file, line and field of whatever is wrong', async () => {
  const cases: [Parameters<typeof read>[0], string[]][] = [
    [{ memory: null }, ['memory.csv:::study/file-unreadable']],
    [{ invocations: '' }, ['invocations.csv:::study/file-empty']],
    [{ invocations: 'HashFunction,480\n' }, ['invocations.csv:::study/no-functions']],
    [{ invocations: 'HashApp,480\na,1\n' }, ['invocations.csv:1:HashFunction:study/column-missing']],
    [{ invocations: 'HashFunction,Trigger\nf1,http\n' }, ['invocations.csv:1::study/column-missing']],
    [{ invocations: 'HashFunction,480,482\nf1,1,1\n' }, ['invocations.csv:1:482:study/minute-order']],
    [{ invocations: 'HashFunction,480,480\nf1,1,1\n' }, ['invocations.csv:1:480:study/column-twice']],
    [{ invocations: 'HashFunction,480\nf1,1,1\n' }, ['invocations.csv:2::study/row-width']],
    [{ invocations: 'HashFunction,480\nf1,-1\n' }, ['invocations.csv:2:480:study/cell']],
    [
      { invocations: 'HashFunction,480\nf1,1.5\nf2,\n' },
      ['invocations.csv:2:480:study/cell', 'invocations.csv:3:480:study/cell'],
    ],
    [{ invocations: 'HashFunction,480\nf1,1e9\n' }, ['invocations.csv:2:480:study/cell']],
    [{ invocations: 'HashFunction,480\nf1,99999999999\n' }, ['invocations.csv:2:480:study/cell']],
    [
      { invocations: 'HashFunction,480\nf1,1\nf1,1\n' },
      ['invocations.csv:3:HashFunction:study/function-twice'],
    ],
    [
      { invocations: 'HashFunction,480\nf1,1\nf7,1\n' },
      ['invocations.csv:3:HashFunction:study/function-unmatched'],
    ],
    [{ invocations: 'HashFunction,480\n"a\nb",1\n' }, ['invocations.csv:3:HashFunction:study/cell']],
    [{ invocations: 'HashFunction,480\n"f1,1\nf2,1\n' }, ['invocations.csv:3::study/csv-syntax']],
    [
      { durations: DURATIONS.replace('percentile_Average_75', 'p75') },
      ['durations.csv:1:percentile_Average_75:study/column-missing'],
    ],
    [
      { durations: DURATIONS.replace(',0,1,1265', ',2,1,1265') },
      ['durations.csv:2:percentile_Average_75:study/percentile-order'],
    ],
    [{ durations: DURATIONS.replace('71,288', '71,0') }, ['durations.csv:2:Count:study/no-samples']],
    [{ durations: DURATIONS.replace('1265', 'NaN') }, ['durations.csv:2:percentile_Average_99:study/cell']],
    [
      { memory: MEMORY.replace('HashFunction,', 'HashFunktion,') },
      ['memory.csv:1:HashFunction:study/column-missing'],
    ],
  ]
  for (const [files, expected] of cases) {
    assert.deepEqual(await wrong(files), expected, JSON.stringify(files))
  }
})

test('a file that is wrong everywhere is said to be at most 20 times', async () => {
  const rows = Array.from({ length: 500 }, (_, i) => `g${i},x,y,z\n`).join('')
  const found = await wrong({ invocations: `HashFunction,1,2,3\n${rows}` })
  assert.equal(found.length, 20)
})

test('names are DNS labels, distinct even for hashes that begin alike', async () => {
  const hashes = ['1fa06535aaaa', '1fa06535bbbb', 'NOT-hex', '__proto__', '../../etc', 'x'.repeat(128)]
  const trace = await read({
    invocations: `HashFunction,480\n${hashes.map((hash) => `${hash},1\n`).join('')}`,
    durations: `HashFunction,Count,${[0, 1, 25, 50, 75, 99, 100].map((p) => `percentile_Average_${p}`)}\n${hashes.map((hash) => `${hash},1,1,1,1,1,1,1,1\n`).join('')}`,
    memory: `HashFunction,SampleCount,${[1, 5, 25, 50, 75, 95, 99, 100].map((p) => `AverageAllocatedMb_pct${p}`)}\n${hashes.map((hash) => `${hash},1,1,1,1,1,1,1,1,1\n`).join('')}`,
  })
  assert.ok(trace.ok, JSON.stringify(trace))
  const names = trace.value.functions.map((one) => one.name)
  assert.equal(new Set(names).size, hashes.length)
  for (const name of names) assert.match(name, /^[a-z]([-a-z0-9]{0,61}[a-z0-9])$/)
})

test('any bytes are read or refused, never thrown at', async () => {
  const line = fc
    .array(
      fc.constantFrom(
        'f1',
        '"',
        '""',
        ',',
        '480',
        '\r',
        '\n',
        '\r\n',
        '1',
        '-',
        'é',
        '\0',
        'HashFunction',
        ' ',
      ),
      { maxLength: 40 },
    )
    .map((parts) => parts.join(''))
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        line,
        line.map((tail) => `HashFunction,480\n${tail}`),
        fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
      ),
      async (invocations) => {
        const trace = await read({ invocations })
        if (!trace.ok)
          assert.ok(trace.problems.every((one) => one.code.startsWith('study/') && one.message !== ''))
        else assert.ok(trace.value.functions.every((one) => one.invocations.length === trace.value.minutes))
      },
    ),
    { numRuns: 200 },
  )
})
