// Whatever a remote sends, the relay goes on: that session may end, for a reason from the list, and no other one does.

import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { clientInfoFrame } from '#protocol/handshake.ts'
import { END_REASONS } from '#relay/end-reason.ts'
import { cutStream, damaged, singleBytes, someCuts } from '../protocol/arbitraries.ts'
import { bob, cathy, sibling } from '../support/actor.ts'
import { packetLine } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { disco, frames, packet } from '../vectors/frames.ts'
import { sha256 } from '../vectors/hex.ts'
import { meshKey } from '../vectors/keys.ts'
import * as login from '../vectors/login.ts'

const nonce = sha256('garbage').subarray(0, 24)
const meshInfo = clientInfoFrame(sibling.key, { meshKey, appName: 'damaged' }, sibling.boxWithServer, nonce)
const speech = [
  frames.ping,
  frames.sendPacket,
  frames.watchConns,
  frames.forwardPacket,
  disco.sendPacket,
  frames.unknown,
]
const samples = [
  login.clientInfo.frame,
  Buffer.concat([
    login.clientInfo.frame,
    frames.notePreferredYes,
    frames.sendPacket,
    frames.ping,
    disco.sendPacket,
  ]),
  Buffer.concat([meshInfo, ...speech, frames.notePreferredNo, frames.pong]),
]
/** The login is intact; the frames after it are damaged. */
const someDamagedSpeech = damaged(Buffer.concat(speech)).map((bytes) => Buffer.concat([meshInfo, bytes]))

it.each([
  ['anything', damaged(...samples)],
  ['anything after a login', someDamagedSpeech],
])('%s may end the session that sent it, and nothing else', (_what, someBytes) => {
  fc.assert(
    fc.property(
      someBytes,
      someCuts,
      fc.boolean(),
      fc.constantFrom(1, 2),
      (bytes, cuts, isByteByByte, threads) => {
        const relay = new TestRelay({ threads })
        const [b, c] = [relay.join(bob), relay.join(cathy, { thread: threads - 1 })]
        const client = relay.connect(sibling, { thread: threads - 1 })
        const pieces = isByteByByte ? singleBytes(bytes) : cutStream(bytes, cuts, [0])
        for (const piece of pieces) {
          client.link.send(piece)
          relay.settle()
        }
        expect(relay.ends.every(({ reason }) => END_REASONS.includes(reason))).toBe(true)
        expect(relay.ends.length).toBe(client.isClosed ? 1 : 0)
        b.take()
        c.sendPacket(bob, packet)
        expect(b.take()).toEqual([packetLine(cathy, packet)])
        client.hangUp()
        expect(relay.count('connectionsCurrent')).toBe(2)
        expect(relay.count('queuedPackets')).toBe(0)
        for (const { relay: one } of relay.threads) expect([one.keyCount, one.lentBytes]).toEqual([2, 0])
      },
    ),
    { numRuns: 250 },
  )
})
