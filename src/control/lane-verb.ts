// The verb `lane`: who is on the lane, where, and what it has counted. Runs on the control thread.

import { ipToBytes } from '#protocol/ip-address.ts'
import type { Verb, VerbBody } from '#ops/verb.ts'
import { endpointText } from '#config/endpoint.ts'
import type { LaneMember } from '#worker/thread-messages.ts'
import type { LaneService } from './lane-service.ts'
import type { ShownIdentity } from './shown-identity.ts'

export function laneVerb(lane: LaneService, shown: ShownIdentity): Verb {
  return {
    name: 'lane',
    changes: false,
    parameters: {},
    answer: async () => {
      const members = await lane.members()
      if (members === undefined)
        return {
          isDone: false,
          body: { error: "the lane's thread does not answer; see lane_died in the log" },
        }
      return {
        isDone: true,
        body: {
          listen: endpointText(lane.endpoint),
          // For the peers' configuration: as WireGuard writes keys.
          publicKey: Buffer.from(lane.publicKey).toString('base64'),
          deaths: lane.deaths,
          numbers: lane.read(),
          members: members.map((member) => memberBody(member, shown)),
        },
      }
    },
  }
}

function memberBody(
  { key, name, address, provenMs, isElsewhere, links }: LaneMember,
  shown: ShownIdentity,
): VerbBody {
  return {
    name,
    key: shown.key(key),
    remote: address && shown.remote({ ip: ipToBytes(address.host), port: address.port }),
    isHere: address !== undefined,
    provenAgoS: address && Math.round(provenMs / 1_000),
    isConnected: isElsewhere,
    links,
  }
}
