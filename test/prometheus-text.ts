// Reads Prometheus' text format 0.0.4 as its documentation describes it (prometheus.io, "Exposition formats"), and refuses
// what it does not allow: it knows nothing of how Mayfly writes it.

import assert from 'node:assert/strict'

export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

export interface Family {
  type: string
  help: string
  samples: Sample[]
}

const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  histogram: ['_bucket', '_sum', '_count'],
  counter: [''],
  gauge: [''],
}

export function parsePrometheus(text: string): Map<string, Family> {
  assert.ok(text.endsWith('\n'), 'the last line has no end')
  const families = new Map<string, Family>()
  const seen = new Set<string>()
  let current: { name: string; family: Family } | null = null
  for (const line of text.slice(0, -1).split('\n')) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/.exec(line)
    if (comment) {
      const [, kind, name, rest] = comment as unknown as [string, string, string, string]
      if (kind === 'HELP') {
        assert.ok(!families.has(name), `${name} has two families`)
        current = { name, family: { type: 'untyped', help: rest, samples: [] } }
        families.set(name, current.family)
      } else {
        assert.ok(current !== null && current.name === name, 'TYPE stands behind its HELP')
        assert.ok(Object.hasOwn(SUFFIXES, rest), `${rest} is no type`)
        assert.equal(current.family.samples.length, 0, 'TYPE stands before the samples')
        current.family.type = rest
      }
      continue
    }
    const sample = parseSample(line)
    assert.ok(current, `${line}: a sample without a family`)
    const suffix = sample.name.slice(current.name.length)
    assert.ok(
      sample.name.startsWith(current.name) && SUFFIXES[current.family.type]!.includes(suffix),
      `${line}: not of ${current.name}`,
    )
    const key = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`
    assert.ok(!seen.has(key), `${line}: a second sample of its labels`)
    seen.add(key)
    current.family.samples.push(sample)
  }
  for (const [name, family] of families) if (family.type === 'histogram') checkHistogram(name, family)
  return families
}

function parseSample(line: string): Sample {
  const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line)
  assert.ok(match, `${JSON.stringify(line)} is no sample`)
  const [, name, inside, number] = match as unknown as [string, string, string | undefined, string]
  const labels: Record<string, string> = {}
  let rest = inside ?? ''
  while (rest !== '') {
    const pair = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,(?=.)|$)/.exec(rest)
    assert.ok(pair, `${JSON.stringify(rest)} are no labels`)
    assert.ok(!Object.hasOwn(labels, pair[1]!), `${line}: a label twice`)
    labels[pair[1]!] = pair[2]!.replace(/\\(.)/g, (_, escaped) => (escaped === 'n' ? '\n' : escaped))
    rest = rest.slice(pair[0].length)
  }
  const value = number === '+Inf' ? Infinity : Number(number)
  assert.ok(!Number.isNaN(value), `${line}: ${number} is no number`)
  return { name, labels, value }
}

/** Buckets are cumulative, end in +Inf, and that one is the count. */
function checkHistogram(name: string, { samples }: Family): void {
  const sets = new Map<string, { buckets: [number, number][]; count: number; sum: number }>()
  for (const { name: full, labels, value } of samples) {
    const { le, ...own } = labels
    const key = JSON.stringify(own)
    const set = sets.get(key) ?? { buckets: [], count: Number.NaN, sum: Number.NaN }
    sets.set(key, set)
    if (full.endsWith('_bucket')) set.buckets.push([le === '+Inf' ? Infinity : Number(le), value])
    else if (full.endsWith('_sum')) set.sum = value
    else set.count = value
  }
  for (const [key, { buckets, count, sum }] of sets) {
    for (let i = 1; i < buckets.length; i++) {
      assert.ok(
        buckets[i]![0] > buckets[i - 1]![0] && buckets[i]![1] >= buckets[i - 1]![1],
        `${name} ${key}: bucket ${i}`,
      )
    }
    assert.deepEqual(buckets.at(-1), [Infinity, count], `${name} ${key}`)
    assert.ok(sum >= 0, `${name} ${key}: sum ${sum}`)
  }
}

/** The samples of a metric whose labels include these. */
export function samplesOf(
  families: Map<string, Family>,
  name: string,
  labels: Record<string, string> = {},
): Sample[] {
  const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''))
  return (family?.samples ?? []).filter(
    (sample) =>
      sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  )
}

export function sumOf(
  families: Map<string, Family>,
  name: string,
  labels: Record<string, string> = {},
): number {
  return samplesOf(families, name, labels).reduce((sum, { value }) => sum + value, 0)
}
