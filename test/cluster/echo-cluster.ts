// A cluster of two nodes and a gateway, with a function that answers what its manifest says.

import { request } from 'node:http'
import type { ClusterNodeRow } from '../../src/cli/node-rows.ts'
import type { InstanceStatus } from '../../src/control/mesh-status.ts'
import { TestCluster } from './cluster.ts'

const PROGRAM = `export default {fetch: () => { console.log('asked'); return new Response(process.env.SAYS) }}\n`

export const ALLOW_ALL = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: all, namespace: test}
spec: {action: ALLOW, rules: [{}]}
`

export function echoFunction(name: string, says: string): string {
  return `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: ${name}, namespace: test, labels: {tier: ${name}}}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/min-scale: "1"}}
    spec:
      containers: [{image: "file:./fn.mjs", env: [{name: SAYS, value: "${says}"}]}]
`
}

export class EchoCluster extends TestCluster {
  static override async start(): Promise<EchoCluster> {
    const cluster = new EchoCluster()
    try {
      await cluster.startControlPlane()
      await cluster.startNode('n1', '--zone', 'east')
      await cluster.startNode('n2', '--zone', 'west')
      await cluster.startGateway()
      cluster.write('fn.mjs', PROGRAM)
    } catch (error) {
      await cluster.stop()
      throw error
    }
    return cluster
  }

  ask(host = 'echo.test.localhost', path = '/'): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const sent = request(this.gateway + path, { headers: { host }, agent: false }, async (response) => {
        let body = ''
        for await (const part of response.setEncoding('utf8')) body += part
        resolve({ status: response.statusCode!, body })
      })
      sent.on('error', reject)
      sent.end()
    })
  }

  answers(body: string): Promise<boolean> {
    return this.until(`the function answers ${body}`, async () => (await this.ask()).body === body)
  }

  nodes(): Promise<ClusterNodeRow[]> {
    return this.json('get', 'nodes')
  }

  instances(): Promise<InstanceStatus[]> {
    return this.json('get', 'instances')
  }
}
