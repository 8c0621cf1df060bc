// How relays are probed: types only. The command line that sets these values is read in cli/probe-options.ts.

import type { KeyPair } from '#protocol/node-key.ts'

/** 4 or 6, as in IPv4 and IPv6. */
export type IpFamily = 4 | 6

export interface ProbeSettings {
  /** For each step of a check. */
  readonly timeoutMs: number
  /** In the order in which they are tried. */
  readonly families: readonly IpFamily[]
  /** Undefined: the map's port, or the default one. −1: STUN is not checked. */
  readonly stunPort: number | undefined
  /** Undefined: as the map says. −1: captive-portal checks use the DERP port. */
  readonly httpPort: number | undefined
  readonly meshKey: Uint8Array | undefined
  /** Of the clients: of the one that sends, and of the one that receives. Empty: each client has a new one. */
  readonly keys: readonly KeyPair[]
  /** PEM of authorities that are trusted besides the system's. */
  readonly authorities: readonly string[]
  readonly isInsecure: boolean
  readonly pin: string | undefined
  readonly usesWebSocket: boolean
}
