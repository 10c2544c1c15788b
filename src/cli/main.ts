import { addAllow } from './allow.ts'
import { addApply } from './apply.ts'
import { addAudit } from './audit.ts'
import { addBackup, addRestore } from './backup.ts'
import { addCompletion } from './completion.ts'
import { addControlPlane } from './control-plane.ts'
import { addCredential } from './credential.ts'
import { addDelete } from './delete.ts'
import { addDescribe } from './describe.ts'
import { addDiff } from './diff.ts'
import { addExplain } from './explain.ts'
import { addGet } from './get.ts'
import { addGraph } from './graph.ts'
import { addInvoke } from './invoke.ts'
import { addLogs } from './logs.ts'
import { addNewEpoch } from './new-epoch.ts'
import { addGateway, addNode } from './node.ts'
import { addPolicy } from './policy.ts'
import { newProgram } from './program.ts'
import { addReplay } from './replay.ts'
import { addRollout } from './rollout.ts'
import { addCordon, addDrain, addUncordon } from './schedule-node.ts'
import { addToken } from './token.ts'
import { addTop } from './top.ts'
import { addUp } from './up.ts'
import { addValidate } from './validate.ts'
import { addVersion } from './version.ts'
import { addWait } from './wait.ts'
import { addWhatIf } from './whatif.ts'

// Started by the launcher: when that is gone, however it went, this process has no one to work for.
if (process.channel) {
  process.on('disconnect', () => process.exit(1))
  process.channel.unref()
}
// A reader such as `head` that has seen enough is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
process.stderr.on('error', () => {})

const program = newProgram()
for (const add of [
  addUp,
  addGet,
  addDescribe,
  addLogs,
  addInvoke,
  addAllow,
  addExplain,
  addWhatIf,
  addGraph,
  addNewEpoch,
  addValidate,
  addPolicy,
  addReplay,
  addVersion,
  addControlPlane,
  addNode,
  addGateway,
  addToken,
  addCredential,
  addApply,
  addDiff,
  addDelete,
  addWait,
  addRollout,
  addTop,
  addCordon,
  addUncordon,
  addDrain,
  addAudit,
  addBackup,
  addRestore,
  addCompletion,
]) {
  add(program)
}
for (const command of program.commands) {
  command.showHelpAfterError(`(mayfly ${command.name()} --help says more)`)
}
await program.parseAsync()
