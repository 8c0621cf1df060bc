// The right to renew a certificate in a folder that several relays share, possibly over NFS: one of them has it, the others wait
// for its files. A lease whose holder has died on this host is free at once (lease-holder.ts); of others nobody knows, so a lease
// that is not refreshed expires. Ages are differences of times that the file system itself has set, so the relays' clocks need
// not agree.
//
// Contract: two holders at once are possible if one sleeps longer than the life of its lease. They then order a certificate
// each, which is a waste and no damage, since every file is replaced as a whole.

import { link, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { hasDied, holderText } from './lease-holder.ts'
import { readStored, temporaryPath, writeNew } from './stored-file.ts'

/** Longer than an order may take. */
const LEASE_MS = 600_000
/** A lease has some 200 bytes. */
const TEXT_BYTES_MAX = 4_096

export class RenewalLease {
  readonly #path: string
  /** Undefined: the folder cannot be written, so no other relay keeps a lease there either. */
  readonly #text: string | undefined

  private constructor(path: string, text: string | undefined) {
    this.#path = path
    this.#text = text
  }

  /** Undefined while another relay has the lease. In a folder that cannot be written, every relay has it. */
  static async take(path: string): Promise<RenewalLease | undefined> {
    const text = await holderText()
    const own = temporaryPath(path)
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      await writeNew(own, text, 0o600)
      const isTaken = (await isLinked(own, path)) || (await isTakenOver(own, path))
      return isTaken ? new RenewalLease(path, text) : undefined
    } catch {
      // A read-only or full disk: whoever stores the new certificate reports it.
      return new RenewalLease(path, undefined)
    } finally {
      await rm(own, { force: true }).catch(() => undefined)
    }
  }

  /** Begins the life of the lease anew. False: it has expired, and another relay has it now. */
  async refresh(): Promise<boolean> {
    if (this.#text === undefined) return true
    const file = await open(this.#path, 'r+').catch(() => undefined)
    if (file === undefined) return false
    try {
      if ((await file.readFile('utf8')) !== this.#text) return false
      // If another relay takes the lease at this moment, the bytes go into the old file, which has no name any more.
      await file.write(this.#text, 0)
      return (await file.stat()).ino === (await stat(this.#path)).ino
    } catch {
      return false
    } finally {
      await file.close()
    }
  }

  /** Does not remove the lease of another relay. */
  async release(): Promise<void> {
    if (this.#text === undefined || (await textOf(this.#path)) !== this.#text) return
    await rm(this.#path, { force: true }).catch(() => undefined)
  }
}

async function textOf(path: string): Promise<string | undefined> {
  return await readStored(path, TEXT_BYTES_MAX).catch(() => undefined)
}

/** Gives the file a second name; false if that name is taken. Unlike creating, this is one step on NFS of any version. */
async function isLinked(own: string, path: string): Promise<boolean> {
  try {
    await link(own, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Whether the lease had ended, and this relay is the one that has replaced it. */
async function isTakenOver(own: string, path: string): Promise<boolean> {
  if (!(await hasEnded(path, own))) return false
  // Of several relays that see that a lease has ended, only the one with this file may replace it, after another look.
  const guard = `${path}.takeover`
  if (!(await isLinked(own, guard))) {
    // Its holder needs milliseconds. If it has died, the next attempt finds the way free.
    if (await hasEnded(guard, own)) await rm(guard, { force: true })
    return false
  }
  try {
    if (!(await hasEnded(path, own))) return false
    await rename(own, path)
    return true
  } finally {
    await rm(guard, { force: true })
  }
}

/** @param own a file that was written just now: its time is the file system's present */
async function hasEnded(path: string, own: string): Promise<boolean> {
  const [{ mtimeMs: presentMs }, held] = await Promise.all([stat(own), stat(path).catch(() => undefined)])
  if (held === undefined) return false
  return presentMs - held.mtimeMs > LEASE_MS || (await hasDied((await textOf(path)) ?? ''))
}
