// Loaded into every process of a mesh whose memory is measured: collects garbage when the bench asks. Plain JavaScript,
// since the launcher, in which it is loaded too, may run on a Node that reads nothing else.
import { connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const port = Number(process.env.MAYFLY_BENCH_SETTLE_PORT)
if (port > 0) {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc')
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.on('data', () => {
    // As when memory is short: pages that are free are given back too, which V8 otherwise keeps for long.
    gc({ type: 'major', execution: 'sync', flavor: 'last-resort' })
    socket.write('!')
  })
  socket.unref()
}
