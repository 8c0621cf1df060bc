// The ways that share a lab and a relay, each with what it needs: ways of one group are measured one after another, round by round, so
// that they stand side by side.

import { basename } from 'node:path'
import { foreign, type ForeignName } from '../../test/support/foreign.ts'
import { BridgePair } from '../../test/integration/bridge/bridge-pair.ts'
import { LabRelay } from '../../test/integration/bridge/lab-relay.ts'
import { LANE_INSIDE, LanePair } from '../../test/integration/bridge/lane-pair.ts'
import { OPENVPN_LINES, OPENVPN_SERVER, startOpenvpn } from '../../test/integration/bridge/openvpn.ts'
import {
  startStrongswan,
  STRONGSWAN_INSIDE,
  STRONGSWAN_LINES,
} from '../../test/integration/bridge/strongswan.ts'
import { BRIDGE_PORT, INSIDE, NATIVE, Tunnel } from '../../test/integration/bridge/tunnel.ts'
import { startTailscale, type Tailscale } from './tailscale.ts'
import type { Way } from './way.ts'

export interface Group {
  readonly name: string
  /** Starts everything; what is given to `defer` ends it. @throws Missing if a program is not there */
  make(defer: (end: () => Promise<void>) => void): Promise<readonly Way[]>
}

/** Not measured, and why. */
export class Missing extends Error {}

/** The names in the cache have versions. */
export const usedPrograms = new Set<string>()

async function path(name: ForeignName): Promise<string> {
  const found = await foreign(name)
  if (!('path' in found)) throw new Missing(found.missing)
  usedPrograms.add(basename(found.path))
  return found.path
}

async function tunnelBy(derper: string | undefined): Promise<Tunnel> {
  return await Tunnel.make({
    wireguard: await path('wireguard'),
    endpoint: `127.0.0.1:${BRIDGE_PORT}`,
    isBobPassive: true,
    ...(derper === undefined ? {} : { derper }),
  })
}

async function tailscaleBy(relay: LabRelay, isDirect: boolean): Promise<Tailscale> {
  const programs = {
    tailscale: await path('tailscale'),
    tailscaled: await path('tailscaled'),
    testcontrol: await path('testcontrol'),
  }
  return await startTailscale(relay, programs, isDirect)
}

/** @param relayName as the table names it */
function byRelay(relayName: string, derperName: ForeignName | undefined): Group {
  return {
    name: `WireGuard and Tailscale by ${relayName}`,
    async make(defer) {
      const tunnel = await tunnelBy(derperName && (await path(derperName)))
      defer(async () => await tunnel[Symbol.asyncDispose]())
      const { lab, relay, bridges, wireguards } = tunnel
      await tunnel.startBridge('bob')
      await tunnel.startBridge('alice')
      const tailscale = await tailscaleBy(relay, false)
      const wireguard = { 'wireguard A': wireguards.alice, 'wireguard B': wireguards.bob }
      const setEndpoint = async (endpoint: string): Promise<void> => {
        await lab.setDirect(endpoint === NATIVE)
        await tunnel.wg('alice', 'set', 'peer', tunnel.publicKeyOf('bob'), 'endpoint', endpoint)
      }
      const native: Way = {
        name: 'WireGuard, direct',
        lab,
        address: INSIDE.bob,
        processes: wireguard,
        before: async () => await setEndpoint(NATIVE),
      }
      return [
        ...(derperName === undefined ? [native] : []),
        {
          name: `WireGuard by bridge and ${relayName}`,
          lab,
          address: INSIDE.bob,
          processes: {
            relay: relay.process,
            'bridge A': bridges.alice,
            'bridge B': bridges.bob,
            ...wireguard,
          },
          before: async () => await setEndpoint(`127.0.0.1:${BRIDGE_PORT}`),
        },
        {
          name: `Tailscale by ${relayName}`,
          lab,
          address: tailscale.bobAddress,
          processes: {
            relay: relay.process,
            'tailscaled A': tailscale.alice,
            'tailscaled B': tailscale.bob,
          },
          before: async () => await lab.setDirect(false),
        },
      ]
    },
  }
}

const TAILSCALE_DIRECT: Group = {
  name: 'Tailscale, direct',
  async make(defer) {
    const relay = await LabRelay.make()
    defer(async () => await relay[Symbol.asyncDispose]())
    const { lab } = relay
    await lab.setDirect(true)
    const { alice, bob, bobAddress, waitForDirect } = await tailscaleBy(relay, true)
    const processes = { 'tailscaled A': alice, 'tailscaled B': bob }
    return [{ name: 'Tailscale, direct', lab, address: bobAddress, processes, before: waitForDirect }]
  },
}

const WIREGUARD_BY_LANE: Group = {
  name: 'WireGuard by lane',
  async make(defer) {
    const pair = await LanePair.start(await path('wireguard'))
    defer(async () => await pair[Symbol.asyncDispose]())
    const { relay, peers } = pair
    const wireguard = { 'wireguard A': peers.alice?.process, 'wireguard B': peers.bob?.process }
    const processes = { relay: relay.process, ...wireguard }
    return [{ name: 'WireGuard by lane', lab: relay.lab, address: LANE_INSIDE.bob, processes }]
  },
}

const OPENVPN: Group = {
  name: 'OpenVPN by bridge and relay',
  async make(defer) {
    const program = await path('openvpn')
    const relay = await LabRelay.make()
    defer(async () => await relay[Symbol.asyncDispose]())
    const { processes: bridges } = await BridgePair.start(relay, OPENVPN_LINES)
    const { client, server } = await startOpenvpn(relay, program)
    const own = { 'openvpn A': client, 'openvpn B': server }
    const processes = { relay: relay.process, 'bridge A': bridges.alice, 'bridge B': bridges.bob, ...own }
    return [{ name: this.name, lab: relay.lab, address: OPENVPN_SERVER, processes }]
  },
}

const IPSEC: Group = {
  name: 'IPsec by bridge and relay',
  async make(defer) {
    await path('strongswan')
    const relay = await LabRelay.make()
    defer(async () => await relay[Symbol.asyncDispose]())
    const { processes: bridges } = await BridgePair.start(relay, STRONGSWAN_LINES)
    const { charons } = await startStrongswan(relay)
    const own = { 'charon A': charons.alice, 'charon B': charons.bob }
    const processes = { relay: relay.process, 'bridge A': bridges.alice, 'bridge B': bridges.bob, ...own }
    return [{ name: this.name, lab: relay.lab, address: STRONGSWAN_INSIDE.bob, processes }]
  },
}

const ZEROTIER: Group = {
  name: 'ZeroTier by bridge and relay',
  async make() {
    throw new Missing('no package registry has ZeroTier')
  },
}

export const GROUPS: readonly Group[] = [
  byRelay('relay', undefined),
  TAILSCALE_DIRECT,
  byRelay('derper', 'derper-1.104.5'),
  WIREGUARD_BY_LANE,
  OPENVPN,
  IPSEC,
  ZEROTIER,
]
