// Clients that attack a server until they are ended, in a process of their own, so that it can be pinned to a processor. Says
// "ready" to its parent when the attack has begun. Packets to a slow receiver are the generator's own fan-in.
//
//   node bench/load/attackers.ts one-key|unfinished-logins COUNT PORT SERVER_KEY

import { randomBytes } from 'node:crypto'
import { newKeyPair } from '#client/derp-client.ts'
import { sendPacketFrame } from '#protocol/frames.ts'
import { CLIENT_INFO_BYTES_MAX, HEADER_BYTES } from '#protocol/limits.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { type AttackedRelay, Intruder, UPGRADES } from '../../test/hostile/intruder.ts'

const PACKET_BYTES = 1_200
/** Logins at the same time: they shall not be an attack of their own. */
const LOGINS_AT_ONCE = 16
const WITHOUT_END_MS = 600_000
/** A login ends when its time is over; then another one begins. */
const LOGIN_LIMIT_MS = 30_000

const [kind, countText, port, serverKey] = process.argv.slice(2)
const count = Number(countText)
const relay: AttackedRelay = {
  portKind: 'tls',
  port: Number(port),
  serverKey: new Uint8Array(Buffer.from(serverKey ?? '', 'hex')),
}

/** All send to the key that they share. */
async function withOneKey(): Promise<void> {
  const key = newKeyPair()
  const packet = sendPacketFrame(key.publicKey, randomBytes(PACKET_BYTES))
  const all: Intruder[] = []
  while (all.length < count) {
    const some = Array.from({ length: Math.min(LOGINS_AT_ONCE, count - all.length) }, async (_, at) => {
      return await Intruder.logIn(relay, UPGRADES[at % 3], { key })
    })
    all.push(...(await Promise.all(some)))
  }
  process.send?.('ready')
  await Promise.all(all.map(async (one) => await one.flood(packet, WITHOUT_END_MS)))
}

/** Each sends a login of the largest size but for its last byte, waits for its end, and comes back. */
async function withUnfinishedLogins(): Promise<void> {
  const almost = Buffer.alloc(HEADER_BYTES + CLIENT_INFO_BYTES_MAX - 1, 1)
  almost[0] = FrameType.clientInfo
  almost.writeUInt32BE(CLIENT_INFO_BYTES_MAX, 1)
  process.send?.('ready')
  const attackAgainAndAgain = async (at: number): Promise<void> => {
    for (;;) {
      try {
        const one = await Intruder.openDerp(relay, UPGRADES[at % 3])
        await one.send(almost)
        await one.ended(LOGIN_LIMIT_MS)
        one.reset()
      } catch {
        // Refused: it tries again, as an attacker does.
      }
    }
  }
  await Promise.all(Array.from({ length: count }, async (_, at) => await attackAgainAndAgain(at)))
}

process.on('disconnect', () => process.exit())
await (kind === 'one-key' ? withOneKey() : withUnfinishedLogins())
