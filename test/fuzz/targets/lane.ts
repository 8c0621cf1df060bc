// What the lane reads: datagrams of anybody, the operator's roster, and its own state, which other programs can write.

import { X25519Secret } from '#protocol/x25519.ts'
import { readRoster } from '#protocol/lane-roster.ts'
import { MemoryLane, MemoryPeer, transport } from '../../support/memory-lane.ts'
import { invariant, magnitude, same, texts, type FuzzTarget } from '../target.ts'

const secret = new X25519Secret(new Uint8Array(32).fill(5))
const own = { secret, publicKey: secret.publicKey }

/** Alice and bob, who have met; and the lane that they are on. */
function met(): { readonly lane: MemoryLane; readonly alice: MemoryPeer; readonly text: string } {
  const lane = new MemoryLane(own)
  const alice = new MemoryPeer(lane, '203.0.113.1', 1_001)
  const bob = new MemoryPeer(lane, '203.0.113.2', 1_002)
  const text = `${alice.text} alice\n${bob.text} bob alice\n`
  lane.useRoster(text)
  alice.register()
  bob.register()
  alice.send(alice.initiation(bob.key.publicKey, 11))
  lane.take()
  return { lane, alice, text }
}

const { lane: shared, alice, text: ROSTER } = met()
const STATE = shared.lane.stateText()

const datagram: FuzzTarget = {
  name: 'lane-datagram',
  corpus: [
    alice.initiation(),
    alice.initiation(new Uint8Array(32).fill(3)),
    alice.keepalive(),
    transport(11),
    transport(12, 1_500),
    Buffer.alloc(92).fill(2, 0, 1),
    Buffer.alloc(64).fill(3, 0, 1),
  ],
  attempt(input) {
    shared.nowMs += 1
    shared.take()
    const moved = shared.count('moves')
    // From a stranger: never an answer to a changed message, and never more bytes than one probe has.
    shared.lane.receive(Buffer.from(input), '192.0.2.9', 9)
    const toStranger = shared.take()
    invariant(toStranger.length <= 2, 'more than a probe and what is forwarded')
    for (const { message, host } of toStranger) {
      const isForwarded = host !== '192.0.2.9' && message.equals(input)
      invariant(isForwarded || message.length === 148 || message.length === 92, 'an unknown answer')
    }
    // From a member: forwarded as it is, or not at all.
    shared.lane.receive(Buffer.from(input), alice.host, alice.port)
    const sent = shared.take()
    invariant(sent.length <= 1, 'a datagram has caused two')
    same([shared.count('moves')], [moved], 'moves')
    return `${toStranger.length} ${sent.length} ${input[0] ?? 0} ${magnitude(input.length)}`
  },
}

const roster: FuzzTarget = {
  name: 'lane-roster',
  corpus: texts(
    ROSTER,
    '# only a comment\n',
    `${'a'.repeat(43)}= x y\n`,
    ROSTER.replaceAll('bob alice', 'bob bob'),
  ),
  tokens: ['nodekey:', '=', ' alice', ' bob', '\n', '#', 'privkey:', '\t'],
  inputBytesMax: 4_096,
  attempt(input) {
    const read = readRoster('roster', input.toString('utf8'))
    if ('problems' in read) {
      invariant(read.problems.length > 0 && read.problems.length <= 21, 'no problem, or too many')
      return `${read.problems.length} ${read.problems[0]?.replace(/[^;]*;/, '').slice(0, 24)}`
    }
    for (const [n, { links }] of read.roster.entries())
      for (const to of links)
        invariant(to !== n && read.roster[to]?.links.includes(n) === true, 'a link for one direction only')
    return magnitude(read.roster.length)
  },
}

const state: FuzzTarget = {
  name: 'lane-state',
  corpus: texts(STATE, STATE.replace('203.0.113.1', '::1'), `${STATE}r 1 0 1 99\n`, 'derpfleet-lane 1 \n'),
  tokens: ['\nm ', '\nr ', ' - ', ' 0 1 ', '9999999999', '='],
  inputBytesMax: 4_096,
  attempt(input) {
    const lane = new MemoryLane(own)
    lane.wallAheadMs = shared.wallAheadMs
    lane.useRoster(ROSTER)
    lane.lane.restore(input.toString('utf8'))
    const here = lane.lane.membersHere
    invariant(here.length <= 2, 'members that the roster does not have')
    for (const { address } of here)
      invariant(address !== undefined && address.port > 0 && address.port < 65_536, 'a port')
    lane.pass(200_000)
    return `${here.length} ${lane.counters.read().routes}`
  },
}

export const LANE_TARGETS: readonly FuzzTarget[] = [datagram, roster, state]
