// `npm run demo`: runs the example mesh, sends traffic through it, and says what happened. Ends with status 0 if all was as it should be.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, watch } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const main = join(root, 'src/cli/main.ts')
const folder = mkdtempSync(join(tmpdir(), 'mayfly-demo-'))
const readyFile = join(folder, 'ready.json')

console.log('$ mayfly up examples/shop --gateway 127.0.0.1:0\n')
const mesh = spawn(
  process.execPath,
  [main, 'up', join(root, 'examples/shop'), '--gateway', '127.0.0.1:0', '--ready-file', readyFile],
  {
    stdio: ['ignore', 'pipe', 'inherit'],
  },
)
createInterface(mesh.stdout!).on('line', (line) => console.log(`  ${line}`))
process.on('exit', () => {
  mesh.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

const { gateway } = await ready(mesh)
const steps = [
  {
    what: 'GET /: the frontend starts from zero, and the catalog (Python) behind it',
    method: 'GET',
    path: '/',
    status: 200,
  },
  {
    what: 'POST /checkout: frontend -> cart -> catalog and payment',
    method: 'POST',
    path: '/checkout',
    status: 200,
  },
  { what: 'GET / again: everything is warm', method: 'GET', path: '/', status: 200 },
  {
    what: 'GET /steal: the frontend calls payment, which nothing allows',
    method: 'GET',
    path: '/steal',
    status: 403,
  },
  { what: 'DELETE /: no policy allows the method', method: 'DELETE', path: '/', status: 403 },
]
let failed = 0
for (const { what, method, path, status } of steps) {
  const answer = await send(gateway, method, path)
  const right = answer.status === status
  if (!right) failed++
  console.log(
    `\n${what}\n  ${right ? 'ok' : `WRONG, expected ${status}`}: ${answer.status} in ${answer.ms.toFixed(1)} ms: ${answer.body.trim()}`,
  )
}
console.log(`\n$ mayfly explain --from shop/frontend --to shop/payment -X POST --path /charge\n`)
await command(
  'explain',
  '--mesh',
  String(mesh.pid),
  '--from',
  'shop/frontend',
  '--to',
  'shop/payment',
  '-X',
  'POST',
  '--path',
  '/charge',
)
console.log('\n$ mayfly get instances\n')
await command('get', 'instances', '--mesh', String(mesh.pid))
console.log('\nCtrl-C (SIGTERM): the mesh drains and ends')
mesh.kill('SIGTERM')
const [code] = await once(mesh, 'exit')
if (code !== 0) failed++
console.log(failed === 0 ? '\nThe demo went as it should.' : `\n${failed} steps did not go as they should.`)
process.exit(failed === 0 ? 0 : 1)

function ready(child: ChildProcess): Promise<{ gateway: string }> {
  return new Promise((resolve, reject) => {
    const watcher = watch(folder, () => {
      try {
        const value = JSON.parse(readFileSync(readyFile, 'utf8'))
        watcher.close()
        resolve(value)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') reject(error)
      }
    })
    child.on('exit', (status) =>
      reject(new Error(`mayfly up ended with status ${status} before it was ready`)),
    )
  })
}

function send(
  gateway: string,
  method: string,
  path: string,
): Promise<{ status: number; body: string; ms: number }> {
  const startedAt = performance.now()
  return new Promise((resolve, reject) => {
    const sent = request(
      gateway + path,
      { method, headers: { host: 'frontend.shop.localhost' } },
      (response) => {
        let body = ''
        response.setEncoding('utf8')
        response.on('data', (part) => {
          body += part
        })
        response.on('end', () =>
          resolve({ status: response.statusCode!, body, ms: performance.now() - startedAt }),
        )
      },
    )
    sent.on('error', reject)
    sent.end()
  })
}

async function command(...args: string[]): Promise<void> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  createInterface(child.stdout!).on('line', (line) => console.log(`  ${line}`))
  const [code] = await once(child, 'close')
  if (code !== 0) failed++
}
