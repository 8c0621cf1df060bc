// A sibling: another relay that this relay keeps a link to. The one type for it, whether it is named by an option,
// found in DNS or in the fleet's file. Plain data: the control thread sends it to the relay threads.

import { derpPortOf, type Node } from './node.ts'
import { DERP_PORT } from '#protocol/default-ports.ts'

export interface Sibling {
  /** `host[:port]`, as logs and metrics show it; siblings with the same name are the same. */
  readonly name: string
  /** The host name that its certificate is verified for. */
  readonly host: string
  readonly port: number
  /** Name or address to dial instead of the host. */
  readonly dialHost: string | undefined
  /** As in a DERP map: another name to verify, or `sha256-raw:` and a digest. */
  readonly certName: string | undefined
  /** It shares a region with this relay: it tells of all its clients, not only of those whose home it is. */
  readonly isInside: boolean
  /**
   * Its presence frames are subscribed to. Otherwise the key directory locates its clients, and the link is made when
   * it is needed.
   */
  readonly isWatched: boolean
  /** Its names as a node of the DERP map, by which clients name it as their preferred one. */
  readonly nodes: readonly string[]
}

/**
 * A sibling that an option or DNS names: the fleet's file does not describe it, so it counts as one of this region.
 */
export function listedSibling(
  name: string,
  host: string,
  port: number,
  dialHost: string | undefined,
): Sibling {
  return { name, host, port, dialHost, certName: undefined, isInside: true, isWatched: true, nodes: [] }
}

/**
 * The name that its siblings give to a relay: the same for all nodes of that relay, and another for every other relay.
 * Several relays may share a host name that leads clients to the nearest; where siblings dial them tells them apart.
 */
export function siblingName(node: Node): string {
  const { hostname, meshHost } = node
  const port = derpPortOf(node)
  const at = port === DERP_PORT ? hostname : `${hostname}:${port}`
  return (meshHost === undefined ? at : `${at}/${meshHost}`).toLowerCase()
}
