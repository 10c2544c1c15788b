import type { Command } from 'commander'
import { stringify } from 'yaml'
import { askMesh } from './admin-client.ts'
import { findFunction, keyOf } from './function-name.ts'
import { fail } from './output.ts'
import { MESH_OPTION } from './program.ts'

export function addDescribe(program: Command): void {
  program
    .command('describe')
    .description('show all that a running mesh knows of a function: manifest, instances, the rules in force')
    .argument('<function>', 'namespace/name, or the name alone')
    .option('-o, --output <format>', 'yaml or json', 'yaml')
    .option(...MESH_OPTION)
    .addHelpText('after', '\nExample:\n  mayfly describe shop/cart -o json')
    .action(async (name: string, options: { output: string; mesh?: string }) => {
      if (!['yaml', 'json'].includes(options.output)) fail(`-o ${options.output}: expected yaml or json`, 2)
      const key = keyOf(await findFunction(options.mesh, name))
      const answer = await askMesh<unknown>(options.mesh, `describe/${key}`)
      if (!answer.ok) fail(answer.message)
      if (options.output === 'json') console.log(JSON.stringify(answer.value, null, 2))
      else process.stdout.write(stringify(answer.value))
    })
}
