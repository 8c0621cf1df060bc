// Sockets in the state folder that runs have left behind which were killed: those of bridges, and those of the moment before
// a socket gets its name. The relay's own run.sock and control.sock are replaced by the runs themselves. Runs on the control
// thread, once this run serves.
//
// Contract: a socket on which a process listens stays, and so does anything that is no socket, or that no run names so.

import { lstat, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { connectTo } from './control-socket.ts'

const NAMES = /^(?:run-bridge-[\da-f]{8}\.sock|\.(?:run|control)\.sock-[\da-f]{8})$/
/** A process that has bound a socket listens in the same call, so microseconds later. */
const YOUNG_MS = 60_000
/** More are left for the run after this one. */
const SOCKETS_MAX = 1_000

/** What can't be looked at or removed is left: the folder may be read-only by now, and such files harm nobody. */
export async function removeStaleSockets(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [])
  for (const name of names.filter((one) => NAMES.test(one)).slice(0, SOCKETS_MAX)) {
    await removeIfStale(folder, name).catch(() => undefined)
  }
}

async function removeIfStale(folder: string, name: string): Promise<void> {
  const path = join(folder, name)
  const file = await lstat(path)
  if (!file.isSocket() || Date.now() - file.mtimeMs < YOUNG_MS) return
  const connection = await connectTo(folder, name)
  connection?.destroy()
  if (connection === undefined) await rm(path)
}
