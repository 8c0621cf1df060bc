// The texts that authorities fetch from the HTTP port to verify this relay (HTTP-01, RFC 8555 §8.3): those of this relay's own
// orders, and those that another relay has put into the folder that they share, as Go's autocert does. So the authority may reach
// any relay behind one name. Runs on the control thread.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { readStored, writeStored } from './stored-file.ts'

/** A text is a token, a dot, and a key's hash: less than 200 bytes. */
const TEXT_BYTES_MAX = 1_024
/** Anybody may ask for any token. */
const TOKEN = /^[A-Za-z0-9_-]{16,128}$/
/** Questions for tokens of other relays that read files at one time; more are answered with 404. */
const READINGS_MAX = 4

export class HttpChallenges {
  /** Undefined: no folder is shared. */
  readonly #folder: string | undefined
  readonly #texts = new Map<string, string>()
  #readings = 0

  constructor(folder: string | undefined) {
    this.#folder = folder
  }

  /** Resolves when the text is answered. In a folder that takes no files, other relays can't answer it. */
  async set(token: string, text: string): Promise<void> {
    this.#texts.set(token, text)
    if (this.#folder === undefined) return
    await writeStored(this.#path(this.#folder, token), text).catch(() => undefined)
  }

  async clear(token: string): Promise<void> {
    this.#texts.delete(token)
    if (this.#folder === undefined) return
    await rm(this.#path(this.#folder, token), { force: true }).catch(() => undefined)
  }

  /** Never rejects; undefined for a token that nobody has set. */
  async textOf(token: string): Promise<string | undefined> {
    const own = this.#texts.get(token)
    if (own !== undefined || this.#folder === undefined || !TOKEN.test(token)) return own
    if (this.#readings >= READINGS_MAX) return undefined
    this.#readings++
    try {
      return await readStored(this.#path(this.#folder, token), TEXT_BYTES_MAX)
    } catch {
      return undefined
    } finally {
      this.#readings--
    }
  }

  #path(folder: string, token: string): string {
    return join(folder, `${token}+http-01`)
  }
}
