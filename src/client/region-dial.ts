// Which relay of a region a client connects to: the first in the map's order that accepts TCP within 1.5 s. As with
// Tailscale's clients only TCP decides; a relay that accepts and then fails at TLS or login is not passed over. Finds
// the address and closes the connection; whoever asks, connects anew.

import { connect, type Socket } from 'node:net'
import { addressIn, hasFamily } from './measuring-plan.ts'
import type { Family, MapNode, MapRegion } from './relay-map.ts'
import { DERP_PORT } from '#protocol/default-ports.ts'

const NODE_MS = 1_500

export interface ReachableNode {
  readonly node: MapNode
  /** The address that accepts; undefined: dial the host name. */
  readonly address: string
  readonly port: number
}

/** @throws Error, the first node's, if no node of the region accepts a connection, or the signal aborts */
export async function reachableNode(region: MapRegion, signal?: AbortSignal): Promise<ReachableNode> {
  let firstError: unknown
  for (const node of region.nodes) {
    if (node.isStunOnly === true) continue
    try {
      return await dialNode(node, signal)
    } catch (error) {
      signal?.throwIfAborted()
      firstError ??= error
    }
  }
  throw firstError ?? new Error(`region ${region.id} has no relay`)
}

/** Dials both families at once; the first connection wins. */
async function dialNode(node: MapNode, signal: AbortSignal | undefined): Promise<ReachableNode> {
  const families = ([4, 6] as const).filter((family) => hasFamily(node, family))
  if (families.length === 0) throw new Error(`${node.name} has no address`)
  const limit = AbortSignal.timeout(NODE_MS)
  const either = signal === undefined ? limit : AbortSignal.any([limit, signal])
  try {
    return await Promise.any(families.map((family) => dialFamily(node, family, either)))
  } catch (error) {
    if (limit.aborted)
      throw new Error(`${node.name}: no TCP connection within ${NODE_MS} ms`, { cause: error })
    throw error instanceof AggregateError ? error.errors[0] : error
  }
}

function dialFamily(node: MapNode, family: Family, signal: AbortSignal): Promise<ReachableNode> {
  const port = node.derpPort ?? DERP_PORT
  const socket: Socket = connect({ host: addressIn(node, family) ?? node.hostname, port, family, signal })
  return new Promise((resolve, reject) => {
    socket.on('error', reject)
    socket.once('connect', () => {
      const address = socket.remoteAddress ?? node.hostname
      socket.destroy()
      resolve({ node, address, port })
    })
  })
}
