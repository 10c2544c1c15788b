// U+2028 and U+2029 end a line for Node's readline and others: raw in a value they would forge a line of JSON.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fillLogLine } from './log-line.ts'
import { decide, policyOf, respond } from './telemetry-testing.ts'

const figures = {
  bytesReceived: 0,
  bytesSent: 0,
  durationMs: 1,
  responseMs: null,
  requestMs: 1,
  responseFlags: 0,
}

test('a JSON line stays one line for readers that know the separators of Unicode', () => {
  const policy = policyOf({
    accessLogFile: '/dev/stdout',
    accessLogEncoding: 'JSON',
    accessLogFormat: JSON.stringify({ agent: '%REQ(USER-AGENT)%', both: 'a %REQ(USER-AGENT)% b' }),
  })
  const agents = ['x\u2028{"fake":1}\u2029y', '\u2028', '\u2027\u202a\u2128\u2028\u2029']
  for (const agent of agents) {
    const bytes = Buffer.from(agent, 'utf8').toString('latin1')
    const decision = decide(policy, `GET / HTTP/1.1\r\nhost: a\r\nuser-agent: ${bytes}\r\n\r\n`)
    assert.ok(decision.kind === 'forward')
    const response = respond(policy, decision.context)
    assert.ok(response.kind === 'head' && response.log)
    const line = fillLogLine(response.log, figures).toString('utf8')
    assert.doesNotMatch(line, /[\u2028\u2029]/)
    const { agent: logged, both } = JSON.parse(line)
    assert.equal(logged, agent)
    assert.equal(both, `a ${agent} b`)
  }
})
