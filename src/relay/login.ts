// Reads a client's login: opens its box, checks what it says about itself and whether it holds a mesh key. No I/O; the
// key agreement is the expensive part. When a login is read, and what follows, is `session-login.ts`.

import { timingSafeEqual } from 'node:crypto'
import type { BoxKey } from '#protocol/box.ts'
import { openClientInfo, readClientKey, type ClientInfo } from '#protocol/handshake.ts'
import { ProtocolError } from '#protocol/protocol-error.ts'
import type { BoxMemory } from './box-memory.ts'
import { EndReason } from './end-reason.ts'

/** What logins are checked against. */
export interface LoginRules {
  readonly boxes: BoxMemory
  /** A sibling logs in with any of them; they may change. */
  meshKeys: readonly Uint8Array[]
  /** Identifies this run of the relay, the same on all its threads; siblings are told. Undefined: they are not. */
  readonly instance: string | undefined
  /** Applications that may not log in; siblings may, whatever their name. May change. */
  disallowedAppNames: ReadonlySet<string>
}

/** A client that has proven its key. */
export interface Login {
  readonly key: Uint8Array
  readonly box: BoxKey
  readonly info: ClientInfo
  /** The mesh key that it holds: privileged, not subject to admission or limits. Undefined for a client. */
  readonly meshKey: Uint8Array | undefined
}

/** Reads a ClientInfo payload. Returns the reason to end the session if it is not acceptable. */
export function readLogin(payload: Uint8Array, rules: LoginRules): Login | EndReason {
  const key = readClientKey(payload)
  if (typeof key === 'string') return key
  const box = rules.boxes.agree(key)
  if (box === undefined) return ProtocolError.boxRefused
  const info = openClientInfo(payload, box)
  if (typeof info === 'string') return info
  rules.boxes.keep(key, box)
  const shown = info.meshKey
  const meshKey = shown && rules.meshKeys.find((one) => timingSafeEqual(one, shown))
  if (meshKey === undefined && info.appName !== '' && rules.disallowedAppNames.has(info.appName)) {
    return EndReason.appNameRefused
  }
  return { key, box, info, meshKey }
}
