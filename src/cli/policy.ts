import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { checkDnsSubdomain } from '../api/kubernetes-name.ts'
import { moduleFile } from '../control/user-modules.ts'
import { buildPolicy, CASES, MANIFEST, readProject, SOURCE } from './build-policy.ts'
import { fail } from './output.ts'
import { readCases } from './policy-cases.ts'
import { runCase, testBench } from './run-policy-case.ts'

const EXAMPLES = fileURLToPath(new URL('../../examples/policies/user', import.meta.url))

export function addPolicy(program: Command): void {
  const policy = program.command('policy').description('write policies of your own, as WebAssembly')
  policy
    .command('new')
    .description('make a folder with a policy in AssemblyScript, its manifest and its tests')
    .argument('<name>', 'name of the policy and of the folder')
    .option('--template <template>', `what to begin with: ${templates().join(', ')}`, 'api-key')
    .addHelpText('after', '\nExample:\n  mayfly policy new check-key --template api-key')
    .action(newPolicy)
  policy
    .command('build')
    .description("compile a policy's source and check that its module may run")
    .argument('[dir]', `folder with ${SOURCE} and ${MANIFEST}`, '.')
    .action(build)
  policy
    .command('test')
    .description('run the cases of a policy in its sandbox, in a reset one and in a new instance each time')
    .argument('[dir]', `folder with ${MANIFEST} and the module`, '.')
    .option('--cases <file>', `YAML or JSON; left out: ${CASES} in the folder`)
    .option('-o, --output <format>', 'text or json', 'text')
    .action(test)
}

function templates(): string[] {
  return readdirSync(EXAMPLES).filter((name) => existsSync(join(EXAMPLES, name, SOURCE)))
}

function newPolicy(name: string, { template }: { template: string }): void {
  const wrong = checkDnsSubdomain(name)
  if (wrong) fail(`policy new: ${wrong}`, 2)
  if (!templates().includes(template)) {
    fail(`--template ${template}: expected ${templates().join(', ')}`, 2)
  }
  if (existsSync(name)) fail(`${name} is there already: choose another name`)
  mkdirSync(name)
  const from = join(EXAMPLES, template)
  for (const file of [SOURCE, CASES]) cpSync(join(from, file), join(name, file))
  const manifest = readFileSync(join(from, MANIFEST), 'utf8')
  writeFileSync(join(name, MANIFEST), manifest.replace(/^( {2}name: ).*$/m, `$1${name}`))
  console.log(`${name}: ${SOURCE}, ${MANIFEST}, ${CASES}. Next:`)
  console.log(`  mayfly policy build ${name}\n  mayfly policy test ${name}`)
}

async function build(dir: string): Promise<void> {
  const built = await buildPolicy(dir)
  if (!built.ok) fail(`policy build:\n${built.errors.join('\n')}`)
  console.log(`${dir}: built, ${built.value} bytes, its freshness is checked`)
}

interface TestOptions {
  cases?: string
  output: string
}

function test(dir: string, { cases = join(dir, CASES), output }: TestOptions): void {
  if (output !== 'text' && output !== 'json') fail(`-o ${output}: expected text or json`, 2)
  const project = readProject(dir)
  if (!project.ok) fail(project.errors.join('\n'))
  let module: Buffer
  let contents: string
  try {
    module = readFileSync(moduleFile(project.value))
    contents = readFileSync(cases, 'utf8')
  } catch (error) {
    return fail(`${(error as Error).message}; \`mayfly policy build ${dir}\` makes the module`)
  }
  const read = readCases(cases, contents)
  if (!read.ok) fail(read.errors.join('\n'))
  const bench = testBench(project.value, module)
  const results = read.cases.map((one) => ({ name: one.name, ...runCase(bench, one) }))
  if (output === 'json') console.log(JSON.stringify(results, null, 2))
  else {
    for (const { name, problems, fuel } of results) {
      console.log(
        `${problems.length === 0 ? 'ok    ' : 'not ok'} ${name} (fuel ${fuel} of ${bench.slice.fuel})`,
      )
      for (const problem of problems) console.log(`         ${problem}`)
    }
  }
  const failed = results.filter(({ problems }) => problems.length > 0).length
  if (output === 'text') console.log(`${results.length} cases, ${failed} not ok`)
  if (failed > 0 || results.length === 0) process.exitCode = 1
}
