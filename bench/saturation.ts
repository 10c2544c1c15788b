import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Children, tail } from './children.ts'

/** What wrk saw. Times are in microseconds. */
export type Saturation = {
  requests: number
  bytes: number
  microseconds: number
  errors: number
  p50: number
  p99: number
}

/** Loads a proxy with as much as 64 keep-alive connections carry, for some seconds, each sending `head` as it is. */
export async function saturate(
  children: Children,
  port: number,
  head: string,
  seconds: number,
): Promise<Saturation> {
  const script = join(children.folder, 'saturate.lua')
  writeFileSync(script, luaScript(head))
  const options = ['-t1', '-c64', `-d${seconds}s`, '--timeout', '5s', '-s', script]
  const wrk = children.start('wrk', 'wrk', [...options, `http://127.0.0.1:${port}/`])
  await once(wrk.process, 'exit', { signal: AbortSignal.timeout(seconds * 1000 + 20_000) })
  const output = tail(wrk)
  const line = output.split('\n').find((candidate) => candidate.startsWith('{'))
  if (line === undefined) throw new Error(`wrk printed no summary:\n${output}`)
  return JSON.parse(line) as Saturation
}

// wrk asks wrk.format once for the bytes of every request. Its status errors are all replies of 400 and above.
function luaScript(head: string): string {
  return `
    wrk.format = function() return ${luaString(head)} end
    done = function(summary, latency)
      local e = summary.errors
      io.write(string.format(
        '{"requests":%d,"bytes":%d,"microseconds":%d,"errors":%d,"p50":%d,"p99":%d}\\n',
        summary.requests, summary.bytes, summary.duration,
        e.connect + e.read + e.write + e.status + e.timeout,
        latency:percentile(50), latency:percentile(99)))
    end`
}

function luaString(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&').replaceAll('\r', '\\r').replaceAll('\n', '\\n')}"`
}
