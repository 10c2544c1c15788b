// The function under chaos: it writes down what it is asked and when, for the checker.

import { appendFileSync } from 'node:fs'

const { CHAOS_LOG, MAYFLY_INSTANCE = '', MAYFLY_FUNCTION = '' } = process.env
const file = `${CHAOS_LOG}/${MAYFLY_INSTANCE}.log`

function note(what: object): void {
  const at = Number(process.hrtime.bigint() / 1_000n) / 1_000
  appendFileSync(
    file,
    `${JSON.stringify({ ...what, instance: MAYFLY_INSTANCE, function: MAYFLY_FUNCTION, at })}\n`,
  )
}

note({ what: 'start', pid: process.pid })

export default {
  async fetch(request: Request): Promise<Response> {
    const { searchParams } = new URL(request.url)
    const id = searchParams.get('id') ?? ''
    note({ what: 'begin', id })
    const called = searchParams.get('call')
    if (called !== null) {
      const answer = await fetch(
        `http://${called}.chaos.svc.cluster.local/?id=${id}&ms=${searchParams.get('ms')}`,
      )
      if (!answer.ok)
        return new Response(`${called} answers ${answer.status} ${await answer.text()}`, { status: 502 })
    } else await new Promise((resolve) => setTimeout(resolve, Number(searchParams.get('ms'))))
    note({ what: 'end', id })
    return Response.json({ id, instance: MAYFLY_INSTANCE })
  },
}
