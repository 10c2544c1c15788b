import { spawn } from 'node:child_process'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')

/** Runs a program in the project's folder to its end, at most so many milliseconds long; gives all that it has written. */
export function runProgram(
  command: string,
  words: readonly string[],
  timeout: number,
): Promise<{ code: number | null; text: string }> {
  const child = spawn(command, words, { cwd: ROOT, timeout })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (part) => {
      text += part
    })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, text }))
  })
}
