import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { ABI_VERSION } from '../sidecar/layout/record.ts'
import { fail } from './output.ts'

export function version(): string {
  const manifest = new URL('../../package.json', import.meta.url)
  return JSON.parse(readFileSync(manifest, 'utf8')).version
}

export function addVersion(program: Command): void {
  program
    .command('version')
    .description('print the versions of mayfly, of its sidecar layout and of what runs it')
    .option('-o, --output <format>', 'text or json', 'text')
    .addHelpText('after', '\nExample:\n  mayfly version -o json')
    .action(({ output }: { output: string }) => {
      if (!['text', 'json'].includes(output)) fail(`-o ${output}: expected text or json`, 2)
      const versions = {
        mayfly: version(),
        sidecarLayout: ABI_VERSION,
        node: process.versions.node,
        v8: process.versions.v8,
        platform: `${process.platform}-${process.arch}`,
      }
      if (output === 'json') return console.log(JSON.stringify(versions))
      for (const [name, value] of Object.entries(versions)) console.log(`${name.padEnd(14)} ${value}`)
    })
}
