// The keys of this relay's accounts at authorities, in the folder of its certificates, where derper keeps them: one account for
// names, and one for addresses. Keys are PEM. Not the accounts themselves, which the authority keeps.

import { join } from 'node:path'
import { readStored, writeStored } from './stored-file.ts'

/** The names of the files: first derper's own, then others from which a key is taken over. */
const FILES = {
  names: ['acme_account+key', 'acme_account.key', 'acme-account.key'],
  addresses: ['acme-account.key', 'acme_account+key', 'acme_account.key'],
} as const

export class AccountKeys {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Undefined if there is none yet. @throws Error for a file that cannot be read */
  async read(purpose: keyof typeof FILES): Promise<string | undefined> {
    for (const name of FILES[purpose]) {
      const text = await readStored(join(this.#folder, name))
      if (text !== undefined) return text
    }
    return undefined
  }

  async write(purpose: keyof typeof FILES, pem: string): Promise<void> {
    await writeStored(join(this.#folder, FILES[purpose][0]), pem)
  }
}
