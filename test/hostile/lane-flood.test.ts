// Attack: datagrams to the lane as fast as possible: random initiations, initiations with a member's MAC, data with random indexes, and
// initiations with the lane's own MAC, whose author has the lane's public key.
// Stage: the lane, before any key is proven.
// Promise: newcomers register within 5 s, from another address and from the attacker's own; packets between members arrive; a good client logs in within 2 s.
// Bound: 40 MiB; no descriptor.
// Offender: gets no byte.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { mac1Of } from '#lane/macs.ts'
import { INITIATION_BYTES, INITIATION_MAC1_AT } from '#lane/messages.ts'
import { base64, wireguardKey } from '../support/wireguard.ts'
import { transport } from '../support/memory-lane.ts'
import { freePort, waitUntil } from '../support/process.ts'
import { UdpPeer } from '../support/udp-peer.ts'
import { attack } from './attack.ts'

const ATTACK_MS = 1_000
const BATCH = 20
const REGISTERED_MS_MAX = 5_000
const [MEMBERS_AT, NEWCOMERS_AT, ATTACKERS_AT] = ['127.0.0.2', '127.0.0.3', '127.0.0.4']

const key = wireguardKey()
const port = await freePort()

const peerAt = (address: string): UdpPeer => new UdpPeer({ key, port, address })
const [alice, bob] = [peerAt(MEMBERS_AT), peerAt(MEMBERS_AT)]
const newcomers = Array.from({ length: 8 }, (_, n) => peerAt(n % 2 === 0 ? NEWCOMERS_AT : ATTACKERS_AT))
const roster = [
  `${alice.peer.text} alice`,
  `${bob.peer.text} bob alice`,
  ...newcomers.map(({ peer }, n) => `${peer.text} newcomer${n}`),
]

function withMac(to: Uint8Array): Buffer {
  const message = randomBytes(INITIATION_BYTES)
  message.writeUInt32LE(1, 0)
  message.set(mac1Of(to).of(message.subarray(0, INITIATION_MAC1_AT)), INITIATION_MAC1_AT)
  return message
}

/** Made beforehand: making them costs more than sending them. */
const KINDS: Readonly<Record<string, () => Buffer>> = {
  random: () => withMac(randomBytes(32)),
  data: () => transport(randomBytes(4).readUInt32LE()),
  member: () => withMac(bob.peer.key.publicKey),
  lane: () => withMac(key.publicKey),
}

async function meet(): Promise<void> {
  await Promise.all([alice.register(), bob.register()])
  alice.peer.send(alice.peer.initiation(bob.peer.key.publicKey, 11))
  await waitUntil('bob has got it', () => bob.received.some((one) => one.length === 148))
  const response = randomBytes(92)
  response.writeUInt32LE(2, 0)
  response.writeUInt32LE(22, 4)
  response.writeUInt32LE(11, 8)
  bob.peer.send(response)
  await waitUntil('alice has got it', () => alice.received.some((one) => one.equals(response)))
}

let isMet = false

attack('a flood of the lane', {
  memoryMiB: { during: 40, after: 40 },
  args: (folder) => {
    writeFileSync(folder.at('lane.key'), base64(key.privateKey), { mode: 0o600 })
    writeFileSync(folder.at('roster'), `${roster.join('\n')}\n`)
    const files = ['-lane-key-file', folder.at('lane.key'), '-lane-roster', folder.at('roster')]
    return ['-lane', `127.0.0.1:${port}`, ...files]
  },
  run: async () => {
    if (!isMet) await meet()
    isMet = true
    const attacker = createSocket('udp4')
    let answers = 0
    attacker.on('message', () => (answers += 1))
    attacker.bind(0, ATTACKERS_AT)
    await once(attacker, 'listening')
    for (const [kind, make] of Object.entries(KINDS)) {
      const messages = Array.from({ length: 500 }, make)
      const registering = newcomers.splice(0, 2).map(async (one) => await one.register())
      const before = bob.received.length
      let [sent, packets] = [0, 0]
      const untilMs = performance.now() + ATTACK_MS
      while (performance.now() < untilMs) {
        for (let n = 0; n < BATCH; n++)
          attacker.send(messages[sent++ % messages.length] ?? '', port, '127.0.0.1')
        if (sent % (25 * BATCH) === 0) {
          alice.peer.send(transport(22))
          packets++
        }
        await sleep(2)
      }
      await sleep(200)
      const registeredMs = (await Promise.all(registering)).map((ms) => Math.round(ms))
      const arrived = bob.received.length - before
      process.stdout.write(
        `lane flood ${kind}: ${sent} sent, ${answers} answers, ${arrived} of ${packets} packets, ${registeredMs.join(' and ')} ms\n`,
      )
      expect(answers, kind).toBe(0)
      expect(arrived, kind).toBeGreaterThan(0)
      for (const ms of registeredMs) expect(ms, kind).toBeLessThan(REGISTERED_MS_MAX)
    }
    attacker.close()
  },
})
