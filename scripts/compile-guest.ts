import { SCRATCH, STATIC_DATA } from '../src/sidecar/layout/record.ts'

/** A compiled guest, or the compiler's message. */
export type Compiled =
  | { readonly ok: true; readonly wasm: Uint8Array }
  | { readonly ok: false; readonly message: string }

/** Flags with which every guest is compiled: one import, a memory of one page whose first 4 KiB are the records'. */
export const GUEST_FLAGS = [
  ...['-O3', '--noAssert', '--runtime', 'stub', '--use', 'abort='],
  ...['--importMemory', '--noExportMemory', '--initialMemory', '1', '--maximumMemory', '1'],
  ...['--memoryBase', String(STATIC_DATA), '--lowMemoryLimit', String(SCRATCH)],
  ...['--enable', 'simd'],
]

/** Compiles the AssemblyScript file `source`, named relative to `folder`. */
export async function compileGuest(folder: string, source: string, flags = GUEST_FLAGS): Promise<Compiled> {
  const asc = await assemblyScript()
  const messages = asc.createMemoryStream()
  let wasm: Uint8Array | undefined
  const { error } = await asc.main([source, '--baseDir', folder, '--outFile', 'guest.wasm', ...flags], {
    stdout: messages,
    stderr: messages,
    writeFile: (name, contents) => {
      if (name === 'guest.wasm' && typeof contents !== 'string') wasm = contents
    },
  })
  if (wasm !== undefined && error === null) return { ok: true, wasm }
  return { ok: false, message: messages.toString() + (error?.message ?? 'the compiler wrote nothing') }
}

interface AssemblyScript {
  main(
    argv: string[],
    options: {
      stdout: unknown
      stderr: unknown
      writeFile(name: string, contents: Uint8Array | string): void
    },
  ): Promise<{ error: Error | null }>
  createMemoryStream(): { toString(): string }
}

/** The compiler, which takes 0.5 s to load. Its own types redeclare `console` and more for the whole program, so they stay out. */
async function assemblyScript(): Promise<AssemblyScript> {
  const name = 'assemblyscript/asc'
  return (await import(name)).default as AssemblyScript
}
