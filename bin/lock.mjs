import { closeSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'

/** How often a held lock is looked at, and how long one without a name in it counts as held, in milliseconds. */
const LOOK_MS = 100
const NAMELESS_MS = 5_000

/**
 * Runs `work` while no other process does so under the same lock file, which holds its owner's process id. A lock left
 * by a process that is gone is taken over. Where the file cannot be made at all (another user's checkout) it runs
 * unlocked: then nothing can be written there either, and `work` says so.
 */
export function withLock(file, work) {
  if (!take(file)) return work()
  const release = () => rmSync(file, { force: true })
  process.once('exit', release)
  try {
    return work()
  } finally {
    process.off('exit', release)
    release()
  }
}

function take(file) {
  for (let told = false; ; ) {
    try {
      const handle = openSync(file, 'wx')
      writeSync(handle, String(process.pid))
      closeSync(handle)
      return true
    } catch (error) {
      if (error.code !== 'EEXIST') return false
    }
    if (isLeft(file)) {
      rmSync(file, { force: true })
      continue
    }
    if (!told) process.stderr.write('mayfly: another process is installing; waiting for it ...\n')
    told = true
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_MS)
  }
}

/** Whether the lock's owner is gone. */
function isLeft(file) {
  try {
    const owner = Number(readFileSync(file, 'utf8'))
    if (!owner) return Date.now() - statSync(file).mtimeMs > NAMELESS_MS
    process.kill(owner, 0)
    return false
  } catch (error) {
    // ENOENT: it was released just now, so the next attempt may take it.
    return error.code === 'ESRCH'
  }
}
