// A node: one relay in one region, as a DERP map has it. The one type for it, whether it comes from the fleet's file,
// from a DERP map or from options. Fields that are undefined have the DERP map's default, and are not written to a
// map.

import { DERP_PORT, STUN_PORT } from '#protocol/default-ports.ts'

export interface Node {
  /** Unique over all regions. A standby relay is a node of several regions, under another name in each. */
  readonly name: string
  /** What clients and siblings dial and verify; the same for the same relay in every region. */
  readonly hostname: string
  /** Another name to verify, or `sha256-raw:` and the digest of the certificate in 64 hex digits. */
  readonly certName?: string | undefined
  /**
   * An address; undefined: clients look the host name up; any other text, such as `none`: the node has no address.
   */
  readonly ipv4?: string | undefined
  readonly ipv6?: string | undefined
  /** −1: the node does not answer STUN. */
  readonly stunPort?: number | undefined
  readonly derpPort?: number | undefined
  /** Clients may look for captive portals on its port 80. */
  readonly canPort80?: boolean | undefined
  readonly isStunOnly?: boolean | undefined
  readonly isInsecureForTests?: boolean | undefined
  /** Tests only: the address that STUN requests go to instead. */
  readonly stunTestIp?: string | undefined
  /** A relay of another place, for when all others of the region refuse: last in the region's list. Not part of a DERP map. */
  readonly isStandby?: boolean | undefined
  /** Name or address that siblings dial instead of the host name. Not part of a DERP map. */
  readonly meshHost?: string | undefined
}

export function derpPortOf({ derpPort = DERP_PORT }: Node): number {
  return derpPort
}

export function stunPortOf({ stunPort = STUN_PORT }: Node): number {
  return stunPort
}
