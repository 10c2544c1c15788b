import { Command } from 'commander'
import { version } from './version.ts'

/** The command without its subcommands, which inherit what is set here. A wrong command line ends with status 2. */
export function newProgram(): Command {
  return new Command('mayfly')
    .description('A service mesh for serverless functions whose sidecar lives for one request.')
    .version(version(), '-V, --version')
    .showHelpAfterError('(mayfly --help says more)')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'mayfly: ')) })
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
}

/** The option of every command that speaks with a running mesh. */
export const MESH_OPTION = ['--mesh <pid>', 'the mesh to ask, by its process id, where several run'] as const
