// Real OpenVPN and strongSwan over the relay, between two hosts that have no other way to each other. The configurations are those of
// docs/bridge.md.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { foreign } from '../../support/foreign.ts'
import { canMakeNetworks } from '../../support/network.ts'
import { waitUntil } from '../../support/process.ts'
import { findOnPath } from '../../support/system-program.ts'
import type { LabEnd } from '../../support/vpn-lab.ts'
import { BridgePair } from './bridge-pair.ts'
import { LabRelay } from './lab-relay.ts'
import { firstPing, pausedBy, Pings, say, transfer } from './measures.ts'
import { OPENVPN_LINES, OPENVPN_SERVER, startOpenvpn } from './openvpn.ts'
import { startStrongswan, STRONGSWAN_INSIDE, STRONGSWAN_LINES } from './strongswan.ts'

const hasPing = (await canMakeNetworks()) && (await findOnPath('ping')) !== undefined
const openvpn = await foreign('openvpn')
const strongswan = await foreign('strongswan')
const hasOpenvpn = hasPing && 'path' in openvpn
const hasStrongswan = hasPing && 'path' in strongswan && (await findOnPath('swanctl')) !== undefined
if (!hasOpenvpn) process.stderr.write('SKIPPING OpenVPN by bridge: it needs root, ping and openvpn\n')
if (!hasStrongswan) process.stderr.write('SKIPPING IPsec by bridge: it needs root, ping and strongSwan\n')
process.stderr.write('SKIPPING ZeroTier by bridge: no package registry has it\n')

let relay: LabRelay | undefined

afterEach(async () => {
  await relay?.[Symbol.asyncDispose]()
  relay = undefined
})

/** A relay, and a bridge on each side with these lines for its only peer. */
async function bridged(
  lines: Readonly<Record<LabEnd, readonly string[]>>,
): Promise<{ readonly it: LabRelay; readonly bridges: BridgePair }> {
  const it = await LabRelay.make()
  relay = it
  return { it, bridges: await BridgePair.start(it, lines) }
}

describe.skipIf(!hasOpenvpn)('OpenVPN', () => {
  test(
    '100 MB arrive equal, the MTU stays 1500, and restarts cost three seconds',
    { timeout: 180_000 },
    async () => {
      const { it, bridges } = await bridged(OPENVPN_LINES)
      const { client } = await startOpenvpn(it, 'path' in openvpn ? openvpn.path : '')
      await firstPing(it.lab, OPENVPN_SERVER)
      await it.lab.run('alice', 'ping', '-c', '1', '-W', '2', '-M', 'do', '-s', '1472', OPENVPN_SERVER)
      const { isEqual, ms } = await transfer(it.lab, OPENVPN_SERVER, 100_000_000)
      expect(isEqual).toBe(true)
      say(`100 MB by OpenVPN and the relay in ${(ms / 1_000).toFixed(1)} s`)
      const pings = await Pings.start(it.lab, OPENVPN_SERVER)
      const paused = async (what: string, action: () => Promise<void>): Promise<void> => {
        expect(await pausedBy(pings, what, action)).toBeLessThanOrEqual(3)
      }
      await paused('OpenVPN connects anew', async () => client.signal('SIGUSR1'))
      await paused("alice's bridge is killed", async () => await bridges.restart('alice'))
      await paused("bob's bridge is killed", async () => await bridges.restart('bob'))
      await paused('the relay is killed', async () => await it.restart())
      await it.lab.setDirect(true)
      await paused(
        "alice's bridge is killed, and there is a direct way",
        async () => await bridges.restart('alice'),
      )
      await waitUntil(
        'packets go directly',
        () => bridges.processes.alice?.output.includes('go directly') === true,
      )
      await paused('OpenVPN connects anew, directly', async () => client.signal('SIGUSR1'))
      expect((await transfer(it.lab, OPENVPN_SERVER, 20_000_000)).isEqual).toBe(true)
      await pings.stop()
    },
  )
})

describe.skipIf(!hasStrongswan)('IPsec by strongSwan', () => {
  test(
    'a child passes pings and 20 MB, and so it does after rekeying both',
    { timeout: 180_000 },
    async () => {
      const { it } = await bridged(STRONGSWAN_LINES)
      const { swanctl } = await startStrongswan(it)
      const ping = ['-c', '3', '-i', '0.2', '-W', '2', '-I', STRONGSWAN_INSIDE.alice, STRONGSWAN_INSIDE.bob]
      await it.lab.run('alice', 'ping', ...ping)
      for (const what of [
        ['--child', 'net'],
        ['--ike', 'lab'],
      ]) {
        await swanctl('alice', '--rekey', ...what)
        await sleep(1_000)
        await it.lab.run('alice', 'ping', ...ping)
      }
      const { isEqual, ms } = await transfer(it.lab, STRONGSWAN_INSIDE.bob, 20_000_000)
      expect(isEqual).toBe(true)
      say(`20 MB by strongSwan and the relay in ${(ms / 1_000).toFixed(1)} s`)
    },
  )
})
