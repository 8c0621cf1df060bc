// The limits that an operator can set for a relay: what one client and all of them together may take. A type only;
// defaults and checks are in config/, enforcement is in relay/ and transport/.
//
// The type is here because config/ fills it in and relay/ applies it, and protocol/ is the only folder that both may import.
// Each field is declared once; code that needs some fields picks them from this type.

/** Receive limit of one client connection; siblings are exempt. */
export interface RateLimit {
  readonly bytesPerSecond: number
  readonly burstBytes: number
}

export interface RelayLimits {
  /** Bytes of data packets that may wait on one session before the oldest are dropped. */
  readonly outboxBytesMax: number
  /** Packets that may wait on each lane of one session; Infinity unless the operator set derper's queue depth. */
  readonly outboxPacketsMax: number
  /** Bytes of packets that may wait in all sessions together; the relay's threads share them equally. */
  readonly waitingBytesMax: number
  /** A client that reads no bytes for this long is disconnected; 0 disables the limit. */
  readonly writeTimeoutMs: number
  readonly rate: RateLimit | undefined
  /** New connections per second and in one burst; Infinity disables the limit. */
  readonly acceptsPerSecond: number
  readonly acceptBurst: number
  /**
   * DERP's own keepalive. Each session draws its interval from this range, so that keepalives do not all leave at
   * once.
   */
  readonly keepAlive: { readonly minMs: number; readonly maxMs: number }
  readonly tcpKeepaliveMs: number
  /** Bytes that a remote leaves unacknowledged for this long end its connection; 0 disables the limit. */
  readonly tcpUserTimeoutMs: number
}
