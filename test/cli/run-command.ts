import { spawn } from 'node:child_process'
import { MAIN } from '../start-mesh.ts'

export interface Ran {
  code: number | null
  stdout: string
  stderr: string
}

/** Runs the real command to its end; `runtimeDir` decides which meshes it finds. */
export function runCommand(runtimeDir: string, args: string[], input = ''): Promise<Ran> {
  const child = spawn(process.execPath, ['--no-warnings', MAIN, ...args], {
    env: { ...process.env, XDG_RUNTIME_DIR: runtimeDir },
    timeout: 20_000,
  })
  const ran: Ran = { code: null, stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text) => {
    ran.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    ran.stderr += text
  })
  child.stdin.on('error', () => {}).end(input)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ ...ran, code }))
  })
}
