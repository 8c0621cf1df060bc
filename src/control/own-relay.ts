// How this relay finds itself in the fleet's file, by the settings, and the problem of a relay that cannot. Runs on the
// control thread.

import type { Settings } from '#config/settings.ts'
import type { OwnRelay } from '#fleet/fleet-position.ts'
import type { Problem } from '#fleet/problem.ts'

export function ownRelayOf({ hostname, mesh: { nats, node, region } }: Settings): OwnRelay {
  return { hostname, node, region, hasDirectory: nats !== undefined }
}

/** A key directory needs one name for each relay, and the fleet's file does not tell this relay's. */
export function namelessProblem(hostname: string, regionsPath: string | undefined): Problem {
  const found = `is not set, and ${regionsPath} does not have exactly one relay with the hostname ${hostname}`
  return { where: '-node', found, expected: "the name of this relay's entry" }
}
