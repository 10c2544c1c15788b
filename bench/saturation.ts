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

/** Loads a proxy with as much as 64 keep-alive connections carry, for some seconds, sending `heads` in turn as they are. */
export async function saturate(
  children: Children,
  port: number,
  heads: readonly string[],
  seconds: number,
): Promise<Saturation> {
  const script = join(children.folder, 'saturate.lua')
  const file = join(children.folder, 'saturate.heads')
  writeFileSync(file, heads.map((head) => `${head.length} ${head}`).join(''), 'latin1')
  writeFileSync(script, luaScript(file))
  const options = ['-t1', '-c64', `-d${seconds}s`, '--timeout', '5s', '-s', script]
  const wrk = children.start('wrk', 'wrk', [...options, `http://127.0.0.1:${port}/`])
  await once(wrk.process, 'exit', { signal: AbortSignal.timeout(seconds * 1000 + 20_000) })
  const output = tail(wrk)
  const line = output.split('\n').find((candidate) => candidate.startsWith('{'))
  if (line === undefined) throw new Error(`wrk printed no summary:\n${output}`)
  return JSON.parse(line) as Saturation
}

// wrk asks wrk.request for every request's bytes, and once for all where it is wrk's own. Each head in the file has its length
// before it. wrk's status errors are all replies of 400 and above.
function luaScript(file: string): string {
  return `
    local heads = {}
    local input = io.open("${file}", "rb")
    while true do
      local length = input:read("*n")
      if not length then break end
      input:read(1)
      heads[#heads + 1] = input:read(length)
    end
    input:close()
    local at = 0
    if #heads == 1 then
      wrk.format = function() return heads[1] end
    else
      request = function()
        at = at % #heads + 1
        return heads[at]
      end
    end
    done = function(summary, latency)
      local e = summary.errors
      io.write(string.format(
        '{"requests":%d,"bytes":%d,"microseconds":%d,"errors":%d,"p50":%d,"p99":%d}\\n',
        summary.requests, summary.bytes, summary.duration,
        e.connect + e.read + e.write + e.status + e.timeout,
        latency:percentile(50), latency:percentile(99)))
    end`
}
