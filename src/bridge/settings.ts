// What a bridge is told to do, checked and complete. Read from WireGuard's file by wg-config.ts, or from a file of its own.

import type { KeyPair } from '#protocol/node-key.ts'

export interface LocalAddress {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
}

/** A peer whose WireGuard is asked and, if it has an endpoint, steered. */
export interface WgSide {
  readonly publicKey: Uint8Array
  /** Its own address, `host:port`; undefined: it connects to this host, and this host's WireGuard is never set. */
  readonly endpoint: string | undefined
}

export interface BridgePeerSettings {
  readonly name: string
  /** Of the other bridge, at the relay. */
  readonly key: Uint8Array
  /** Where the VPN of this host sends what is for the peer. */
  readonly listen: LocalAddress
  /** Where the VPN of this host waits for packets; undefined: it speaks first. */
  readonly vpn: LocalAddress | undefined
  /** Local ports that are kept apart; 1: whichever spoke last is the VPN's. */
  readonly flowsMax: number
  readonly wg: WgSide | undefined
}

/** `auto`: the VPN's own way while it lives, else the relay. `relay`: always the relay. */
export type BridgeMode = 'auto' | 'relay'

export interface BridgeSettings {
  readonly name: string
  readonly key: KeyPair
  readonly mode: BridgeMode
  /** Whether packets of peers without an own way may go directly, through NATs. */
  readonly isDirectTried: boolean
  /** WireGuard's interface; undefined for other VPNs. */
  readonly interfaceName: string | undefined
  readonly peers: readonly BridgePeerSettings[]
  readonly queueBytesMax: number
}

/** A bridge serves one host or site, not a fleet. */
export const PEERS_MAX = 256
export const FLOWS_MAX = 4
/** A packet of the largest size, or some forty of the usual one: at 20 Mbit/s, a fortieth of a second. */
export const QUEUE_BYTES = 65_536
