import { mkdirSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { type Child, type Children, freePort, listening } from './children.ts'
import { nginxProgram } from './peers.ts'
import { REPLY_BODY } from './workload.ts'

export type Upstream = { readonly child: Child; readonly port: number; requests(): Promise<number> }

/** The service behind every proxy: nginx with one worker, a static 1 KiB reply, and a counter of its requests. */
export async function startUpstream(children: Children): Promise<Upstream> {
  const port = await freePort()
  const status = await freePort()
  const child = await startNginx(
    children,
    'upstream',
    port,
    `server {
       listen 127.0.0.1:${port} backlog=4096;
       default_type text/plain;
       location / { return 200 "${REPLY_BODY}"; }
     }
     server { listen 127.0.0.1:${status}; location / { stub_status; } }`,
  )
  let asked = 0
  return {
    child,
    port,
    async requests() {
      asked++
      return Number(/\n \d+ \d+ (\d+)/.exec(await text(status))![1]) - asked
    },
  }
}

/** nginx as a plain reverse proxy with one worker and keep-alive to the upstream. */
export async function startNginxProxy(
  children: Children,
  upstream: number,
): Promise<{ child: Child; port: number }> {
  const port = await freePort()
  const child = await startNginx(
    children,
    'nginx',
    port,
    `upstream service { server 127.0.0.1:${upstream}; keepalive 256; keepalive_requests 1000000000; }
     server {
       listen 127.0.0.1:${port} backlog=4096;
       location / {
         proxy_pass http://service;
         proxy_http_version 1.1;
         proxy_set_header Connection "";
         proxy_set_header Host $http_host;
       }
     }`,
  )
  return { child, port }
}

async function startNginx(children: Children, name: string, port: number, http: string): Promise<Child> {
  const folder = join(children.folder, name)
  mkdirSync(folder)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${join(folder, kind)};`)
    .join('\n')
  const configuration = `
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    worker_processes 1;
    daemon off;
    pid ${join(folder, 'pid')};
    error_log stderr warn;
    events { worker_connections 8192; }
    http {
      access_log off;
      keepalive_requests 1000000000;
      ${temporary}
      ${http}
    }`
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, configuration)
  const child = children.start(name, nginxProgram(), ['-p', folder, '-c', file, '-e', 'stderr'])
  await listening(child, port)
  return child
}

function text(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, agent: false }, async (response) => {
      resolve((await response.toArray()).join(''))
    }).on('error', reject)
  })
}
