import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import {
  type FolderWatch,
  type ManifestFile,
  readManifestFolder,
  watchManifestFolder,
} from './manifest-folder.ts'

let root: string
let folder: string
let watching: FolderWatch
/** What was reported, oldest first: each file's text by its name, or an error's code. */
let reports: (Record<string, string> | string)[]
let wake: () => void

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mayfly-manifests-'))
  folder = join(root, 'manifests')
  mkdirSync(folder)
  reports = []
})
afterEach(() => {
  watching.close()
  rmSync(root, { recursive: true, force: true })
})

async function start(): Promise<void> {
  const report = (value: (typeof reports)[number]) => {
    reports.push(value)
    wake?.()
  }
  watching = watchManifestFolder(folder, await readManifestFolder(folder), {
    changed: (files) => report(textsOf(files)),
    unreadable: (error) => report(error.code ?? error.message),
  })
}

async function nextReport(): Promise<Record<string, string> | string> {
  while (reports.length === 0) {
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }
  return reports.shift()!
}

const textsOf = (files: ManifestFile[]) =>
  Object.fromEntries(files.map(({ path, text }) => [path.slice(folder.length + 1), text]))
const write = (name: string, text: string) => writeFileSync(join(folder, name), text)

test('a file that is written over, renamed over, new or deleted is reported with the whole state', async () => {
  write('a.yaml', 'one')
  await start()
  write('a.yaml', 'two')
  assert.deepEqual(await nextReport(), { 'a.yaml': 'two' })
  write('a.yaml~', 'three')
  renameSync(join(folder, 'a.yaml~'), join(folder, 'a.yaml'))
  assert.deepEqual(await nextReport(), { 'a.yaml': 'three' })
  write('b.yml', 'new')
  assert.deepEqual(await nextReport(), { 'a.yaml': 'three', 'b.yml': 'new' })
  unlinkSync(join(folder, 'a.yaml'))
  assert.deepEqual(await nextReport(), { 'b.yml': 'new' })
})

test('a folder that is made, filled and moved away is followed', async () => {
  write('a.yaml', 'one')
  await start()
  mkdirSync(join(folder, 'sub'))
  write('sub/b.yaml', 'first')
  assert.deepEqual(await nextReport(), { 'a.yaml': 'one', 'sub/b.yaml': 'first' })
  write('sub/b.yaml', 'second')
  assert.deepEqual(await nextReport(), { 'a.yaml': 'one', 'sub/b.yaml': 'second' })
  renameSync(join(folder, 'sub'), join(root, 'elsewhere'))
  assert.deepEqual(await nextReport(), { 'a.yaml': 'one' })
})

test('a ConfigMap that swaps its ..data link is read as its new version, once', async () => {
  mkdirSync(join(folder, '..v1'))
  write('..v1/a.yaml', 'one')
  symlinkSync('..v1', join(folder, '..data'))
  symlinkSync('..data/a.yaml', join(folder, 'a.yaml'))
  await start()
  mkdirSync(join(folder, '..v2'))
  write('..v2/a.yaml', 'two')
  symlinkSync('..v2', join(folder, '..data_tmp'))
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
  rmSync(join(folder, '..v1'), { recursive: true })
  assert.deepEqual(await nextReport(), { 'a.yaml': 'two' })
})

test('a file that is empty for a moment is never reported as empty', async () => {
  write('a.yaml', 'one')
  await start()
  for (let round = 0; round < 5; round++) {
    write('a.yaml', '')
    await new Promise((resolve) => setTimeout(resolve, 30))
    write('a.yaml', `after ${round}`)
    let report = await nextReport()
    while (typeof report !== 'string' && report['a.yaml'] !== `after ${round}`) {
      assert.notEqual(report['a.yaml'], '')
      report = await nextReport()
    }
  }
})

test('a folder that goes away is reported once, and read again when it comes back', async () => {
  write('a.yaml', 'one')
  await start()
  renameSync(folder, join(root, 'away'))
  assert.equal(await nextReport(), 'ENOENT')
  renameSync(join(root, 'away'), folder)
  assert.deepEqual(await nextReport(), { 'a.yaml': 'one' })
  write('a.yaml', 'two')
  assert.deepEqual(await nextReport(), { 'a.yaml': 'two' })
})

test('what changes nothing, and what is hidden or no manifest, is not reported', async () => {
  write('a.yaml', 'one')
  await start()
  write('a.yaml', 'one')
  write('notes.txt', 'x')
  write('.#a.yaml', 'an editor’s')
  symlinkSync('user@host.123', join(folder, '.#b.yaml'))
  mkdirSync(join(folder, 'node_modules'))
  write('node_modules/c.yaml', 'x')
  write('b.yaml', 'two')
  assert.deepEqual(await nextReport(), { 'a.yaml': 'one', 'b.yaml': 'two' })
})

test('what is no file is refused, not waited for', async () => {
  spawnSync('mkfifo', [join(folder, 'pipe.yaml')])
  await assert.rejects(readManifestFolder(folder), /pipe\.yaml is no file: remove it/)
  rmSync(join(folder, 'pipe.yaml'))
  symlinkSync('/dev/zero', join(folder, 'endless.yaml'))
  await assert.rejects(readManifestFolder(folder), /endless\.yaml is no file/)
})
