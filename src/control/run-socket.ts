// The Unix socket by which the runs of one relay find each other: run.sock in its state folder leads to the newest run that
// serves, or to the only one that starts. Binds and connects; what is said over it is `run-messages.ts`. Runs on the control
// thread.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { linkSync, lstatSync, renameSync, rmSync, unlinkSync } from 'node:fs'
import { connect, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { bindOwnerOnly, socketPathIn } from './control-socket.ts'

const NAME = 'run.sock'

export class RunSocket {
  readonly #folder: string
  #inode: bigint | undefined = undefined

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
        if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
        throw error
      } finally {
        unlinkSync(temporary)
      }
    })
  }

  /** Lets the server listen there in place of the run before, at one moment. */
  async replace(server: Server): Promise<void> {
    await this.#bind(server, (temporary, path) => {
      renameSync(temporary, path)
      return true
    })
  }

  /** Removes the socket, unless a later run has replaced it. */
  remove(): void {
    try {
      if (this.#inode !== undefined && inodeOf(this.#path) === this.#inode) unlinkSync(this.#path)
    } catch {
      // Removed by somebody else, or a read-only file system: a socket that nobody listens on is replaced by the next run.
    }
  }

  /** Removes the socket if nobody listens on it. Of several runs that try, each sees the next one's. */
  async removeStale(): Promise<void> {
    const before = lstatSync(this.#path, { bigint: true, throwIfNoEntry: false })?.ino
    if (before === undefined || (await this.isAlive())) return
    if (lstatSync(this.#path, { bigint: true, throwIfNoEntry: false })?.ino === before)
      rmSync(this.#path, { force: true })
  }

  /** Whether a run listens there. */
  async isAlive(): Promise<boolean> {
    const connection = await this.connect()
    connection?.destroy()
    return connection !== undefined
  }

  /** A connection to the run that listens; undefined if none does. */
  async connect(): Promise<Socket | undefined> {
    const path = socketPathIn(this.#folder, NAME)
    try {
      const socket = connect(path.path)
      await once(socket, 'connect')
      return socket
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined
      throw error
    } finally {
      path.close()
    }
  }

  get #path(): string {
    return join(this.#folder, NAME)
  }

  async #bind(server: Server, publish: (temporary: string, path: string) => boolean): Promise<boolean> {
    const name = `.${NAME}-${randomBytes(4).toString('hex')}`
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
