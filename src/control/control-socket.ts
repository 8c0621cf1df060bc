// The Unix socket in the state folder through which commands reach the relay that runs: how the relay binds it, and how
// others find it. The newest run of a relay has it: a run binds a socket under another name and renames it, so that the
// path leads to a relay that serves at every moment, and a socket that a crash left behind is replaced. Runs on the control
// thread, and in commands.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, constants, lstatSync, openSync, renameSync, rmSync, unlinkSync } from 'node:fs'
import { connect, type Server, type Socket } from 'node:net'
import { join } from 'node:path'

export const SOCKET_NAME = 'control.sock'
/** sockaddr_un has 108 bytes, one of them for the zero at the end. */
const PATH_BYTES_MAX = 107
/** Neither group nor others may connect. */
const OWNER_ONLY = 0o177

/** A path by which a socket can be bound or connected to, however long the folder's path is. */
export interface SocketPath {
  readonly path: string
  /** To be called when the path is not needed any more. */
  close(): void
}

export function socketPathIn(folder: string, name = SOCKET_NAME): SocketPath {
  const path = join(folder, name)
  if (Buffer.byteLength(path) <= PATH_BYTES_MAX) return { path, close: () => undefined }
  const descriptor = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  return {
    path: `/proc/self/fd/${descriptor}/${name}`,
    close: () => closeSync(descriptor),
  }
}

/** A connection to the process that listens there; undefined if none does. */
export async function connectTo(folder: string, name: string): Promise<Socket | undefined> {
  const path = socketPathIn(folder, name)
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

export class ControlSocket {
  readonly #folder: string
  /** Of the socket that this run has bound. */
  #inode: bigint | undefined = undefined

  constructor(folder: string) {
    this.#folder = folder
  }

  get path(): string {
    return join(this.#folder, SOCKET_NAME)
  }

  /** Lets the server listen there, in place of an earlier run. */
  async listen(server: Server): Promise<void> {
    const name = `.${SOCKET_NAME}-${randomBytes(4).toString('hex')}`
    const temporary = join(this.#folder, name)
    const bound = socketPathIn(this.#folder, name)
    try {
      await bindOwnerOnly(server, bound.path)
      this.#inode = inodeOf(temporary)
      renameSync(temporary, this.path)
    } catch (error) {
      rmSync(temporary, { force: true })
      throw error
    } finally {
      bound.close()
    }
  }

  /** There is no socket at the path, though this run has bound one: somebody has cleaned the folder up. */
  get isMissing(): boolean {
    return this.#inode !== undefined && lstatSync(this.path, { throwIfNoEntry: false }) === undefined
  }

  /** Removes the socket, unless a later run has replaced it. */
  remove(): void {
    try {
      if (this.#inode !== undefined && inodeOf(this.path) === this.#inode) unlinkSync(this.path)
    } catch {
      // Somebody else has removed it, or the file system is read-only: a stale socket is replaced by the next run.
    }
  }
}

/** Lets the server listen there; neither group nor others can ever connect. */
export async function bindOwnerOnly(server: Server, path: string): Promise<void> {
  const listening = once(server, 'listening')
  // The bind happens within this call, so nobody else is ever permitted to connect.
  const before = process.umask(OWNER_ONLY)
  try {
    server.listen({ path })
  } finally {
    process.umask(before)
  }
  await listening
}

function inodeOf(path: string): bigint {
  return lstatSync(path, { bigint: true }).ino
}
