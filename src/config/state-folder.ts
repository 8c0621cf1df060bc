// Where a relay keeps what it writes while it runs: by default a folder of its own for each node key, so that relays on
// one host never share one, and two processes with one key are runs of one relay. Names the folder only; the start
// creates it and makes sure that it is this relay's (control/state-folder.ts).

import { join, resolve } from 'node:path'
import { toHex } from '#protocol/bytes.ts'
import type { HostInfo } from './host-info.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'

/** Of the public key: enough to tell the relays of one host apart, and short enough for a socket's path. */
const NAME_DIGITS = 16

/** @param publicKey of the node; undefined after a problem with its key */
export function resolveStateFolder(
  values: OptionValues<ServeOptions>,
  publicKey: Uint8Array | undefined,
  host: HostInfo,
): string | undefined {
  // The key is new at each start, and a folder of its own would stay behind.
  if (values.get('dev')) return undefined
  const named = values.get('state-dir')
  if (named !== undefined) return resolve(named)
  return publicKey && join(host.stateFolder, stateFolderName(publicKey))
}

/** The name of a relay's folder within the default folder. */
export function stateFolderName(publicKey: Uint8Array): string {
  return toHex(publicKey).slice(0, NAME_DIGITS)
}

/** Whether a folder within the default folder has such a name. */
export function isStateFolderName(name: string): boolean {
  return name.length === NAME_DIGITS && /^[\da-f]+$/.test(name)
}
