// Compiles the sidecar guest to build/sidecar.wasm:
//   node scripts/build-sidecar.ts [--if-stale]
import { existsSync, globSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { proveModule } from '../src/sandbox/prove-module.ts'
import { SCRATCH, STATIC_DATA } from '../src/sidecar/layout/record.ts'

const ROOT = join(import.meta.dirname, '..')
const SOURCE = 'src/sidecar/sidecar.ts'
const OUTPUT = join(ROOT, 'build/sidecar.wasm')

if (import.meta.main) {
  const unknown = process.argv.slice(2).filter((argument) => argument !== '--if-stale')
  if (unknown.length > 0) {
    console.error(`build-sidecar: unknown argument ${unknown[0]}: expected --if-stale or nothing`)
    process.exit(2)
  }
  if (!(process.argv.includes('--if-stale') && sidecarIsCurrent())) {
    const failure = await buildSidecar()
    if (failure !== undefined) {
      console.error(failure)
      process.exit(1)
    }
  }
}

/** Whether build/sidecar.wasm is newer than everything it is made of. */
export function sidecarIsCurrent(): boolean {
  const built = statSync(OUTPUT, { throwIfNoEntry: false })?.mtimeMs
  if (built === undefined) return false
  return sources().every((file) => statSync(file).mtimeMs < built)
}

/** Compiles the guest and puts it in place in one step, so that others never see half a file. Answers what went wrong, if anything. */
export async function buildSidecar(): Promise<string | undefined> {
  if (!existsSync(join(ROOT, SOURCE))) return `${SOURCE} does not exist`
  const { compileGuest } = await import('./compile-guest.ts')
  const compiled = await compileGuest(ROOT, SOURCE)
  if (!compiled.ok) return compiled.message
  const { wasm } = compiled
  const problem = unfit(wasm)
  if (problem !== undefined) return `${SOURCE} compiles, but is no sidecar: ${problem}`
  mkdirSync(join(ROOT, 'build'), { recursive: true })
  const temporary = `${OUTPUT}.${process.pid}`
  try {
    writeFileSync(temporary, wasm)
    renameSync(temporary, OUTPUT)
  } finally {
    rmSync(temporary, { force: true })
  }
  return undefined
}

function sources(): string[] {
  const guest = globSync('src/sidecar/**/*.ts', { cwd: ROOT, exclude: (name) => name.endsWith('.test.ts') })
  return [...guest.map((file) => join(ROOT, file)), import.meta.filename]
}

/** What keeps the compiled guest from being a sidecar: a reset that cannot be proved, or data outside its place. */
function unfit(wasm: Uint8Array): string | undefined {
  const proof = proveModule(wasm)
  if (proof.verdict !== 'proved') return proof.why.message
  const { data, pages } = proof.shape
  if (pages !== 1) return `its memory has ${pages} pages: expected 1`
  const stray = data.find(
    ({ address, start, end }) => address < STATIC_DATA || address + (end - start) > SCRATCH,
  )
  if (stray === undefined) return undefined
  return `its data at ${stray.address} lies outside the layout's place from ${STATIC_DATA} to ${SCRATCH}`
}
