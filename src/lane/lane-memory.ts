// What the lane knows after a restart: where members were, the newest initiation of each, and the session indexes between them. Written
// as text, which the control thread keeps in the state folder. No session's keys are in it: members are asked to prove themselves
// again. What is read may be anything: other programs can write there.
//
//   derpfleet-lane 1 <the lane's public key, base64>
//   m <key, base64> <host or -> <port> <Unix time of the last proof in ms> <timestamp of the newest initiation, hex, or ->
//   r <index> <owner's line among m, from 0> <peer's line> <Unix time at which it was noted in ms>
//
// Contract: a text that cannot be read restores nothing and throws nothing. Initiations that were seen stay seen.

import { isIP } from 'node:net'
import { fromHex, toHex } from '#protocol/bytes.ts'
import { publicKeyFrom } from '#protocol/key-list.ts'
import type { IndexRoutes } from './index-routes.ts'
import type { Member, UdpAddress } from './member.ts'
import type { Members } from './members.ts'

/** Ten thousand members with two sessions each have two megabytes. */
export const LANE_STATE_BYTES_MAX = 16_777_216
const FORMAT = 'derpfleet-lane 1'
/** As long as WireGuard trusts a session: who has been silent for longer must come by itself. */
export const PROVEN_MS_MAX = 180_000

const MEMBER = /^m ([A-Za-z0-9+/]{43}=) (\S{1,64}) (\d{1,5}) (\d{1,15}) (-|[0-9a-f]{24})$/
const ROUTE = /^r (\d{1,10}) (\d{1,6}) (\d{1,6}) (\d{1,15})$/

interface Times {
  /** Monotonic. */
  readonly nowMs: number
  /** The same moment as Unix time. */
  readonly wallMs: number
}

export interface PlacedMember {
  readonly member: Member
  readonly address: UdpAddress
  readonly provenAtMs: number
}

export interface LaneMemoryParts {
  /** The lane's public key. */
  readonly own: Uint8Array
  readonly members: Members
  readonly routes: IndexRoutes
}

export class LaneMemory {
  readonly #parts: LaneMemoryParts

  constructor(parts: LaneMemoryParts) {
    this.#parts = parts
  }

  get #header(): string {
    return `${FORMAT} ${base64(this.#parts.own)}`
  }

  text({ nowMs, wallMs }: Times): string {
    const { members, routes } = this.#parts
    // One that comes by DERP alone has its sessions all the same.
    const inSessions = new Set([...routes].flatMap(({ link: { owner, peer } }) => [owner, peer]))
    const known = members.all.filter(
      (member) => member.address !== undefined || member.timestamp !== undefined || inSessions.has(member),
    )
    const numbers = new Map(known.map((member, n) => [member, n]))
    const unix = (atMs: number): number => Math.max(0, Math.round(wallMs - (nowMs - atMs)))
    const lines = known.map(({ key, address, provenAtMs, timestamp }) => {
      const { host = '-', port = 0 } = address ?? {}
      return `m ${base64(key)} ${host} ${port} ${unix(provenAtMs)} ${timestamp === undefined ? '-' : toHex(timestamp)}`
    })
    for (const { index, link, notedAtMs } of routes) {
      const [owner, peer] = [numbers.get(link.owner), numbers.get(link.peer)]
      // Undefined if it has left the roster since.
      if (owner !== undefined && peer !== undefined)
        lines.push(`r ${index} ${owner} ${peer} ${unix(notedAtMs)}`)
    }
    return `${[this.#header, ...lines].join('\n')}\n`
  }

  /** Restores timestamps and indexes, and returns where members were. */
  restore(text: string, times: Times): readonly PlacedMember[] {
    const [header, ...lines] = text.split('\n')
    if (header !== this.#header) return []
    const placed: PlacedMember[] = []
    const byLine: (Member | undefined)[] = []
    for (const line of lines) {
      const fields = MEMBER.exec(line)?.slice(1)
      if (fields === undefined) this.#restoreRoute(line, byLine, times)
      else byLine.push(this.#restoreMember(fields, times, placed))
    }
    return placed
  }

  #restoreMember(
    [keyText = '', host = '', port = '', proven = '', timestamp = '']: readonly string[],
    { nowMs, wallMs }: Times,
    placed: PlacedMember[],
  ): Member | undefined {
    const key = publicKeyFrom(keyText)
    const member = key && this.#parts.members.find(key, 0)
    if (member === undefined) return undefined
    if (timestamp !== '-') member.timestamp = fromHex(timestamp)
    const agoMs = wallMs - Number(proven)
    const isPort = Number(port) > 0 && Number(port) <= 65_535
    // A clock that was set back makes what was a moment ago the future.
    if (isIP(host) !== 0 && isPort && Math.abs(agoMs) < PROVEN_MS_MAX)
      placed.push({
        member,
        address: { host, port: Number(port) },
        provenAtMs: nowMs - Math.max(0, agoMs),
      })
    return member
  }

  #restoreRoute(line: string, byLine: readonly (Member | undefined)[], { nowMs, wallMs }: Times): void {
    const [index = 0, ownerLine = 0, peerLine = 0, noted = 0] = ROUTE.exec(line)?.slice(1).map(Number) ?? []
    const [owner, peer] = [byLine[ownerLine], byLine[peerLine]]
    const link = peer && owner?.links.get(peer)
    if (link === undefined || index > 0xffff_ffff) return
    this.#parts.routes.note(index, link, nowMs - Math.max(0, wallMs - noted), nowMs)
  }
}

function base64(key: Uint8Array): string {
  return Buffer.from(key).toString('base64')
}
