// Reads a client's login: opens its box, checks what it says of itself and whether it holds the mesh key.
// Pure but for the key agreement; when logins are asked for, and what follows, is the session's affair.

import { timingSafeEqual } from 'node:crypto'
import type { BoxKey, BoxSecret } from '#protocol/box.ts'
import { openClientInfo, readClientKey, type ClientInfo } from '#protocol/handshake.ts'
import { ProtocolError } from '#protocol/protocol-error.ts'
import { EndReason } from './end-reason.ts'

/** What this relay knows before anybody logs in. */
export interface LoginRules {
  readonly secret: BoxSecret
  /** Each lets a sibling in; they may change. */
  meshKeys: readonly Uint8Array[]
  /** Which run of this relay this is, the same on all its threads: siblings are told. Undefined: they are not. */
  readonly instance: string | undefined
  /** Applications that may not log in; mesh peers may, whatever they are called. */
  readonly disallowedAppNames: ReadonlySet<string>
}

/** A client that has proven its key. */
export interface Login {
  readonly key: Uint8Array
  readonly box: BoxKey
  readonly info: ClientInfo
  /** The mesh key that it holds: privileged, and not subject to admission or limits. Undefined for a client. */
  readonly meshKey: Uint8Array | undefined
}

/** Reads a ClientInfo payload; the reason to end the session where it is not acceptable. */
export function readLogin(payload: Uint8Array, rules: LoginRules): Login | EndReason {
  const key = readClientKey(payload)
  if (typeof key === 'string') return key
  const box = rules.secret.agree(key)
  if (box === undefined) return ProtocolError.boxRefused
  const info = openClientInfo(payload, box)
  if (typeof info === 'string') return info
  const shown = info.meshKey
  const meshKey = shown && rules.meshKeys.find((one) => timingSafeEqual(one, shown))
  if (meshKey === undefined && info.appName !== '' && rules.disallowedAppNames.has(info.appName)) {
    return EndReason.appNameRefused
  }
  return { key, box, info, meshKey }
}
