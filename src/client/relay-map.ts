// The parts of a DERP map that a client uses, as types only: whoever reads a map, gives its regions in this form. The
// fleet's own regions and nodes have it.

/** One relay. Fields that are undefined have the DERP map's default. */
export interface MapNode {
  /** Unique over all regions. */
  readonly name: string
  readonly hostname: string
  /** Another name to verify, or `sha256-raw:` and the digest of the certificate. */
  readonly certName?: string | undefined
  /** An address; undefined: look the host name up; any other text: the node has none. */
  readonly ipv4?: string | undefined
  readonly ipv6?: string | undefined
  /** −1: does not answer STUN. */
  readonly stunPort?: number | undefined
  readonly derpPort?: number | undefined
  /** Not a relay. */
  readonly isStunOnly?: boolean | undefined
  readonly isInsecureForTests?: boolean | undefined
  /** Tests only: the address that STUN requests go to instead. */
  readonly stunTestIp?: string | undefined
}

export interface MapRegion {
  readonly id: number
  readonly code: string
  readonly nodes: readonly MapNode[]
  /** `draining`: NoMeasureNoHome in a DERP map, so it is never measured and never a home. */
  readonly state?: string | undefined
  /** Deprecated: only incremental and HTTPS measurements pass it over. */
  readonly isAvoid?: boolean | undefined
}

/** 4 or 6, as in IPv4 and IPv6. */
export type Family = 4 | 6
