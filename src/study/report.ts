import { createWriteStream } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CSV_HEADER, csvLine, type Invocation } from './invocation.ts'
import type { Summary } from './summary.ts'
import { summaryText } from './summary-text.ts'

/** Writes invocations.csv, summary.json and summary.txt into a folder and returns the text. */
export async function writeReport(
  folder: string,
  summary: Summary,
  invocations: readonly Invocation[],
): Promise<string> {
  await mkdir(folder, { recursive: true })
  await pipeline(Readable.from(csv(invocations)), createWriteStream(join(folder, 'invocations.csv')))
  await writeFile(join(folder, 'summary.json'), `${JSON.stringify(summary, null, 2)}\n`)
  const text = summaryText(summary, invocations)
  await writeFile(join(folder, 'summary.txt'), text)
  return text
}

const LINES_A_CHUNK = 1_000

function* csv(invocations: readonly Invocation[]): Generator<string> {
  yield CSV_HEADER
  for (let at = 0; at < invocations.length; at += LINES_A_CHUNK) {
    yield invocations
      .slice(at, at + LINES_A_CHUNK)
      .map(csvLine)
      .join('')
  }
}
