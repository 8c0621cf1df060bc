// The limits that an operator can set for a relay: what one client and all of them together may take. A type only;
// defaults and checks are in config/, enforcement is in relay/ and transport/.
//
// The type is here because config/ fills it in and relay/ applies it, and protocol/ is the only folder that both may import.
// Each field is declared once; code that needs some fields picks them from this type.

import { NO_BUDGET, type Budget } from './budget.ts'
import type { IpNetwork } from './ip-network.ts'

/** Receive limit of one client connection; siblings are exempt. */
export interface RateLimit {
  readonly bytesPerSecond: number
  readonly burstBytes: number
}

/** What may be sent in a second; siblings are exempt. All of them hold together. */
export interface RelayBudgets {
  /** Of each connection, in addition to `rate`. */
  readonly connection: Budget
  /** Of all connections of a key, unless admission says another one. */
  readonly key: Budget
  /** Of all clients together, what siblings forward included; the relay's threads share it equally. */
  readonly relay: Budget
  /** Clients are told what their connection and their key may send. */
  readonly areAnnounced: boolean
}

/** What one address may do: an IPv4 address, or the /64 of an IPv6 address. */
export interface AddressRules {
  /** Of the relay, whose threads share them equally. Infinity: as many as it likes. */
  readonly connectionsPerSecond: number
  readonly loginsPerSecond: number
  /** For so long an address is refused that goes on beyond its rates; 0: it is not. */
  readonly banMs: number
  /** To these networks nothing of this applies. */
  readonly exempt: readonly IpNetwork[]
}

/** What the relay may send in a calendar month. */
export interface MonthRule {
  /** Infinity: as much as it likes. */
  readonly bytesMax: number
  /** What follows beyond that: an alarm alone, or data packets are dropped as well. */
  readonly over: 'alarm' | 'disco'
}

export interface RelayLimits {
  /** Bytes of data packets that may wait on one session before the oldest are dropped. */
  readonly outboxBytesMax: number
  /** Packets that may wait on each lane of one session; Infinity unless the operator set derper's queue depth. */
  readonly outboxPacketsMax: number
  /** Bytes of packets that may wait in all sessions together; the relay's threads share them equally. */
  readonly waitingBytesMax: number
  /** Resident memory of the process beyond which no new connections are accepted; Infinity disables the limit. */
  readonly memoryBytesMax: number
  /** A client that reads no bytes for this long is disconnected; 0 disables the limit. */
  readonly writeTimeoutMs: number
  readonly rate: RateLimit | undefined
  readonly budgets: RelayBudgets
  /** New connections per second and in one burst; Infinity disables the limit. */
  readonly acceptsPerSecond: number
  readonly acceptBurst: number
  readonly addresses: AddressRules
  readonly month: MonthRule
  /**
   * DERP's own keepalive. Each session draws its interval from this range, so that keepalives do not all leave at
   * once.
   */
  readonly keepAlive: { readonly minMs: number; readonly maxMs: number }
  readonly tcpKeepaliveMs: number
  /** Bytes that a remote leaves unacknowledged for this long end its connection; 0 disables the limit. */
  readonly tcpUserTimeoutMs: number
}

export const NO_BUDGETS: RelayBudgets = {
  connection: NO_BUDGET,
  key: NO_BUDGET,
  relay: NO_BUDGET,
  areAnnounced: false,
}

export const NO_ADDRESS_RULES: AddressRules = {
  connectionsPerSecond: Infinity,
  loginsPerSecond: Infinity,
  banMs: 0,
  exempt: [],
}

export const NO_MONTH_RULE: MonthRule = { bytesMax: Infinity, over: 'alarm' }
