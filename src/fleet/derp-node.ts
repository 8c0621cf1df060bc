// What a DERP map says about this relay: one node, as clients read it. Fields in the order and spelling of the map's
// JSON; what has its zero value is left out.

/** A DERP map's node. */
export interface DerpNode {
  readonly Name: string
  readonly RegionID: number
  readonly HostName: string
  /** How the certificate is checked when it differs from the host name: `sha256-raw:` and 64 hex digits. */
  readonly CertName?: string
  readonly IPv4?: string
  readonly IPv6?: string
  /** −1 is off. */
  readonly STUNPort?: number
  readonly DERPPort?: number
  readonly CanPort80?: boolean
}

/** Tailscale reserves regions 900 to 999 for users' own. */
export const OWN_REGION_MIN = 900
export const OWN_REGION_MAX = 999

/** The node without the fields that are undefined, false, zero or empty. */
export function derpNode(fields: DerpNode): DerpNode {
  const { Name, RegionID, HostName, CertName, IPv4, IPv6, STUNPort, DERPPort, CanPort80 } = fields
  return {
    Name,
    RegionID,
    HostName,
    ...(CertName ? { CertName } : {}),
    ...(IPv4 ? { IPv4 } : {}),
    ...(IPv6 ? { IPv6 } : {}),
    ...(STUNPort ? { STUNPort } : {}),
    ...(DERPPort ? { DERPPort } : {}),
    ...(CanPort80 ? { CanPort80 } : {}),
  }
}
