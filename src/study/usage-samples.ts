import type { Mesh, MeshUsage } from './mesh.ts'

/** Takes the mesh's usage now and then; `end` takes it a last time and gives all samples in order. */
export interface UsageSamples {
  end(): Promise<{ readonly samples: readonly MeshUsage[]; readonly warning: string | undefined }>
}

const EVERY_MS = 2_000

/** The first sample is taken before this resolves. A mesh that cannot tell its usage is asked no more, and that is said. */
export async function sampleUsage(mesh: Mesh): Promise<UsageSamples> {
  const samples: MeshUsage[] = []
  let warning: string | undefined
  let asking: Promise<void> | undefined
  await take()
  const timer = setInterval(() => {
    asking ??= take().finally(() => {
      asking = undefined
    })
  }, EVERY_MS)
  return {
    async end() {
      clearInterval(timer)
      await asking
      await take()
      return { samples, warning }
    },
  }

  async function take(): Promise<void> {
    if (warning !== undefined) return
    try {
      samples.push(await mesh.usage())
    } catch (error) {
      warning = `the mesh's usage is known only in part: ${error instanceof Error ? error.message : String(error)}`
    }
  }
}
