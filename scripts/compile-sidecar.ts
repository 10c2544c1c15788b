import { proveModule } from '../src/sandbox/prove-module.ts'
import { SCRATCH, STATIC_DATA } from '../src/sidecar/layout/record.ts'
import { type Compiled, compileGuest } from './compile-guest.ts'

/** Compiles the sidecar guest and checks that it is one: its reset can be proved and its data lies where the layout says. */
export async function compileSidecar(root: string, source: string): Promise<Compiled> {
  const compiled = await compileGuest(root, source)
  if (!compiled.ok) return compiled
  const problem = unfit(compiled.wasm)
  if (problem === undefined) return compiled
  return { ok: false, message: `${source} compiles, but is no sidecar: ${problem}` }
}

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
