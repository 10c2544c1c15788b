import { execFileSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const SIZE_BYTES = 64 * 1024 * 1024
const CHUNK = Buffer.alloc(64 * 1024, 1)

/** A small disk of its own, that can be filled and can stand still. */
export class Disk {
  readonly folder: string
  readonly #image: string

  /** Null where this process may not mount one. */
  static open(folder: string): Disk | null {
    try {
      return new Disk(folder)
    } catch {
      return null
    }
  }

  private constructor(folder: string) {
    this.folder = folder
    this.#image = `${folder}.img`
    mkdirSync(folder, { recursive: true })
    const file = openSync(this.#image, 'w')
    ftruncateSync(file, SIZE_BYTES)
    closeSync(file)
    run('mkfs.ext4', '-q', '-m', '0', this.#image)
    run('mount', '-o', 'loop', this.#image, folder)
  }

  /** Leaves no byte free. */
  fill(): void {
    const file = openSync(join(this.folder, 'filler'), 'w')
    try {
      for (;;) writeSync(file, CHUNK)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    } finally {
      closeSync(file)
    }
  }

  empty(): void {
    rmSync(join(this.folder, 'filler'), { force: true })
  }

  /** While it stands still, whoever writes waits. */
  freeze(): void {
    run('fsfreeze', '-f', this.folder)
  }

  thaw(): void {
    run('fsfreeze', '-u', this.folder)
  }

  close(): void {
    try {
      run('fsfreeze', '-u', this.folder)
    } catch {
      // It does not stand still.
    }
    run('umount', '-l', this.folder)
    rmSync(this.#image, { force: true })
  }
}

function run(command: string, ...words: string[]): void {
  execFileSync(command, words, { stdio: 'pipe' })
}
