// Compiles the sidecar guest to build/sidecar.wasm:
//   node scripts/build-sidecar.ts [--if-stale]
// With --if-stale it does nothing when the guest is newer than its sources; the compiler is not even loaded then.
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
const SOURCE = 'src/sidecar/sidecar.ts'
const BUILD = join(ROOT, 'build')

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.find((argument) => argument !== '--if-stale')
  if (unknown !== undefined) {
    console.error(`build-sidecar: unknown argument ${unknown}: expected --if-stale or nothing`)
    return 2
  }
  if (args.includes('--if-stale') && sidecarIsCurrent()) return 0
  const failure = await buildSidecar()
  if (failure === undefined) return 0
  console.error(failure)
  return 1
}

/** Whether the guest in the folder `build` is newer than everything it is made of. */
export function sidecarIsCurrent(build = BUILD): boolean {
  const built = statSync(join(build, 'sidecar.wasm'), { throwIfNoEntry: false })?.mtimeMs
  return built !== undefined && sources().every((file) => statSync(file).mtimeMs < built)
}

/** Compiles the guest into the folder `build`, whole or not at all. Answers what went wrong, if anything. */
export async function buildSidecar(build = BUILD): Promise<string | undefined> {
  const begun = new Date()
  const { compileSidecar } = await import('./compile-sidecar.ts')
  const compiled = await compileSidecar(ROOT, SOURCE)
  if (!compiled.ok) return compiled.message
  mkdirSync(build, { recursive: true })
  const temporary = join(build, `sidecar.wasm.${process.pid}.${process.hrtime.bigint()}`)
  try {
    writeFileSync(temporary, compiled.wasm)
    // A source that changed while the compiler ran is newer than this, so the next build is not skipped.
    utimesSync(temporary, begun, begun)
    renameSync(temporary, join(build, 'sidecar.wasm'))
  } finally {
    rmSync(temporary, { force: true })
  }
  return undefined
}

/** The guest's sources and the scripts that compile it. */
function sources(): string[] {
  const guest = join(ROOT, 'src/sidecar')
  const files = readdirSync(guest, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .map((file) => join(guest, file))
  const scripts = ['build-sidecar.ts', 'compile-sidecar.ts', 'compile-guest.ts']
  return [...files, ...scripts.map((script) => join(import.meta.dirname, script))]
}
