import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { readManifestFolder } from '../control/manifest-folder.ts'
import { readProblem } from './load-folder.ts'
import { fail } from './output.ts'

/** The option of commands that take manifests. */
export const FILE_OPTION = [
  '-f, --filename <path>',
  'a file or folder of manifests, or - for standard input (may be repeated)',
  (value: string, before: string[]) => [...before, value],
  [] as string[],
] as const

/** The manifests in files, folders and ("-") standard input. With absolute paths: what they name beside them is found by those on the nodes. `status` is the command's where they cannot be read. */
export async function readFiles(
  paths: readonly string[],
  status = 1,
): Promise<{ path: string; text: string }[]> {
  const files = new Map<string, string>()
  for (const path of paths) {
    if (path === '-') {
      // What a new one names beside it is beside where the command runs.
      files.set(resolve('-'), await text(process.stdin))
      continue
    }
    try {
      for (const file of await readManifestFolder(path)) files.set(resolve(file.path), file.text)
    } catch (error) {
      fail(readProblem(path, error as NodeJS.ErrnoException), status)
    }
  }
  if (files.size === 0) fail(`${paths.join(', ')}: no .yaml or .yml file: expected manifests`, status)
  return Array.from(files, ([path, content]) => ({ path, text: content }))
}
