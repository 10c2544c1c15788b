import type { Command } from 'commander'
import { askMesh } from './admin-client.ts'
import { fail } from './output.ts'
import { MESH_OPTION } from './program.ts'

export function addNewEpoch(program: Command): void {
  program
    .command('new-epoch')
    .description(
      'revoke every certificate that workloads of a running mesh of several nodes have so far; they get new ones, and no request fails by it',
    )
    .option(...MESH_OPTION)
    .action(async (options: { mesh?: string }) => {
      const answer = await askMesh<{ epoch: number | null }>(options.mesh, 'new-epoch', {})
      if (!answer.ok) fail(answer.message)
      const { epoch } = answer.value
      if (epoch === null) fail('the mesh has one node, so its workloads have no certificates')
      console.log(`Epoch ${epoch} has begun: certificates of earlier ones are refused.`)
    })
}
