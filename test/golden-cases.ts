// Golden files of cases: what goes in, what comes out, in one text file that people can read.
//
//   === title | option=value option=value
//   input: bytes with \r \n \t \\ \xHH escapes; line ends of the file itself do not count
//   ---
//   output, line by line
//
// With UPDATE_GOLDEN=1 the file is written anew with what comes out; look at the difference before committing it.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'

export interface GoldenCase {
  title: string
  options: Record<string, string>
  input: Buffer
}

/** Makes one test of every case in the file. */
export function goldenTests(path: string, run: (one: GoldenCase) => string): void {
  const text = readFileSync(path, 'utf8')
  const [preamble = '', ...blocks] = text.split(/^=== /m)
  const rewritten: string[] = []
  for (const block of blocks) {
    const [header = '', ...lines] = block.trimEnd().split('\n')
    const rule = lines.indexOf('---')
    const input = rule < 0 ? lines : lines.slice(0, rule)
    const expected = rule < 0 ? '' : lines.slice(rule + 1).join('\n')
    const [title = '', settings = ''] = header.split(' | ')
    const options = Object.fromEntries(
      settings
        .split(' ')
        .filter(Boolean)
        .map((setting) => setting.split('=') as [string, string]),
    )
    const one = { title, options, input: readBytes(input.join('')) }
    if (process.env.UPDATE_GOLDEN) {
      rewritten.push(`=== ${header}\n${input.join('\n')}\n---\n${run(one)}\n\n`)
    } else {
      test(title, () => assert.equal(run(one), expected))
    }
  }
  if (process.env.UPDATE_GOLDEN) writeFileSync(path, `${(preamble + rewritten.join('')).trimEnd()}\n`)
}

/** Bytes as printable lines: a CR LF shows and ends a line. */
export function showBytes(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) {
    if (byte === 0x0d) text += '\\r'
    else if (byte === 0x0a) text += '\\n\n'
    else if (byte === 0x09) text += '\\t'
    else if (byte === 0x5c) text += '\\\\'
    else if (byte < 0x20 || byte > 0x7e) text += `\\x${byte.toString(16).padStart(2, '0')}`
    else text += String.fromCharCode(byte)
  }
  return text.trimEnd()
}

export function readBytes(text: string): Buffer {
  const bytes = text.replace(/\\(x[0-9a-f]{2}|[rnt\\])/g, (_, code: string) => {
    if (code.startsWith('x')) return String.fromCharCode(Number.parseInt(code.slice(1), 16))
    return { r: '\r', n: '\n', t: '\t', '\\': '\\' }[code]!
  })
  return Buffer.from(bytes, 'latin1')
}
