// An upgrade in place of a relay with a lane: the later run has the port, and knows where peers are and what they talk about.

import { writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { expect, test, vi } from 'vitest'
import { startDerpfleet } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { transport } from '../support/memory-lane.ts'
import { freePort, waitUntil } from '../support/process.ts'
import { UdpPeer } from '../support/udp-peer.ts'
import { base64, wireguardKey } from '../support/wireguard.ts'

// Processes are started.
vi.setConfig({ testTimeout: 60_000 })

test('peers go on talking through the later run', async () => {
  using folder = new TemporaryFolder()
  const env = { STATE_DIRECTORY: folder.at('state') }
  const [key, port, derpPort] = [wireguardKey(), await freePort(), await freePort()]
  writeFileSync(folder.at('lane.key'), base64(key.privateKey), { mode: 0o600 })
  using alice = new UdpPeer({ key, port, address: '127.0.0.1' })
  using bob = new UdpPeer({ key, port, address: '127.0.0.1' })
  writeFileSync(folder.at('roster'), `${alice.peer.text} alice\n${bob.peer.text} bob alice\n`)
  const lane = ['-lane', `127.0.0.1:${port}`, '-lane-key-file', folder.at('lane.key')]
  const listen = ['-a', `127.0.0.1:${derpPort}`, '-http-port', '-1', '-stun=false', '-admin', 'off']
  const own = ['-c', folder.at('derper.key'), '-open-relay', '-lane-roster', folder.at('roster')]
  const args = ['serve', ...listen, ...own, ...lane]
  await using earlier = await startDerpfleet(args, { readyWhen: /"event":"relay_started"/, env })
  await alice.register()
  await bob.register()
  alice.peer.send(alice.peer.initiation(bob.peer.key.publicKey, 11))
  await waitUntil('bob has got it', () => bob.received.some((one) => one.length === 148 && one[0] === 1))
  await using later = await startDerpfleet(args, {
    readyWhen: /"event":"run_took_over"[^]*"event":"relay_started"/,
    env,
  })
  const packet = Buffer.concat([transport(11, 32), randomBytes(64)])
  await waitUntil('alice gets packets again', () => {
    bob.peer.send(packet)
    return alice.received.some((one) => one.equals(packet))
  })
  expect(earlier.output).toContain('run_hands_over')
  expect(later.output).not.toContain('"level":"error"')
})
