// The Unix socket by which the runs of one relay find each other: run.sock in its state folder leads to the newest run that
// serves, or to the only one that starts. Binds and connects; what is said over it is `run-messages.ts`. Runs on the control
// thread.

import { randomBytes } from 'node:crypto'
import { linkSync, lstatSync, renameSync, rmSync, unlinkSync, type BigIntStats } from 'node:fs'
import type { Server, Socket } from 'node:net'
import { join } from 'node:path'
import { bindOwnerOnly, connectTo, socketPathIn } from './control-socket.ts'

const NAME = 'run.sock'

export class RunSocket {
  readonly #folder: string
  #inode: bigint | undefined = undefined
  /** Another name of the socket that this run has replaced, until its run has handed over. */
  #replaced: string | undefined = undefined

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Lets the server listen there, unless another run does. Of two runs at once exactly one succeeds. */
  async claim(server: Server): Promise<boolean> {
    return await this.#bind(server, (temporary, path) => {
      try {
        linkSync(temporary, path)
        return true
      } catch (error) {
        if (codeOf(error) === 'EEXIST') return false
        throw error
      } finally {
        unlinkSync(temporary)
      }
    })
  }

  /** Lets the server listen there in place of the run before, at one moment. `keep` or `giveBack` follows. */
  async replace(server: Server): Promise<void> {
    this.#keepReplaced()
    await this.#bind(server, (temporary, path) => {
      renameSync(temporary, path)
      return true
    })
  }

  /** The run before has handed over. */
  keep(): void {
    if (this.#replaced !== undefined) rmSync(join(this.#folder, this.#replaced), { force: true })
    this.#replaced = undefined
  }

  /** The run before has not handed over: if it still listens, others find it again. Returns whether they do. */
  async giveBack(): Promise<boolean> {
    const replaced = this.#replaced
    const connection = replaced === undefined ? undefined : await connectTo(this.#folder, replaced)
    connection?.destroy()
    if (replaced === undefined || connection === undefined) {
      this.keep()
      return false
    }
    renameSync(join(this.#folder, replaced), this.#path)
    this.#replaced = undefined
    this.#inode = undefined
    return true
  }

  /** Removes the socket, unless a later run has replaced it, or the run before still needs it. */
  async remove(): Promise<void> {
    try {
      if (await this.giveBack()) return
      if (this.#inode !== undefined && inodeOf(this.#path) === this.#inode) unlinkSync(this.#path)
    } catch {
      // Removed by somebody else, or a read-only file system: a socket that nobody listens on is replaced by the next run.
    }
  }

  /**
   * Removes the socket if nobody listens on it. Of several runs that try, each sees the next one's.
   *
   * @throws Error if there is a folder in its place
   */
  async removeStale(): Promise<void> {
    const before = fileAt(this.#path)
    if (before === undefined || (await this.isAlive())) return
    if (before.isDirectory()) {
      throw new Error(`${this.#path} is a folder, and a socket of this relay is expected there: remove it`)
    }
    const now = fileAt(this.#path)
    // A new socket may have the inode of the one that was removed before.
    if (now?.ino === before.ino && now.ctimeNs === before.ctimeNs) rmSync(this.#path, { force: true })
  }

  /** Whether a run listens there. */
  async isAlive(): Promise<boolean> {
    const connection = await this.connect()
    connection?.destroy()
    return connection !== undefined
  }

  /** A connection to the run that listens; undefined if none does. */
  async connect(): Promise<Socket | undefined> {
    return await connectTo(this.#folder, NAME)
  }

  get #path(): string {
    return join(this.#folder, NAME)
  }

  #keepReplaced(): void {
    const name = temporaryName()
    try {
      linkSync(this.#path, join(this.#folder, name))
      this.#replaced = name
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
    }
  }

  async #bind(server: Server, publish: (temporary: string, path: string) => boolean): Promise<boolean> {
    const name = temporaryName()
    const temporary = join(this.#folder, name)
    const bound = socketPathIn(this.#folder, name)
    try {
      await bindOwnerOnly(server, bound.path)
      const inode = inodeOf(temporary)
      const isOurs = publish(temporary, this.#path)
      if (isOurs) this.#inode = inode
      return isOurs
    } catch (error) {
      rmSync(temporary, { force: true })
      throw error
    } finally {
      bound.close()
    }
  }
}

function inodeOf(path: string): bigint {
  return lstatSync(path, { bigint: true }).ino
}

function fileAt(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false })
}

/** Others see it only for a moment; a run that is killed meanwhile leaves it to `stale-sockets.ts`. */
function temporaryName(): string {
  return `.${NAME}-${randomBytes(4).toString('hex')}`
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
