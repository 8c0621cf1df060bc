// The faults in which alerts are seen to fire, with real causes: processes that are killed or stopped, files that are spoilt, servers
// that are gone, load. Faults of one phase have different relays, and are there at the same time.

import { copyFile, rename, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import type { Generator } from '../../bench/load/generator-process.ts'
import { makeVersion } from '../support/other-version.ts'
import { DERP_PORT, type WatchedFleet } from './watched-fleet.ts'
import type { WatchedLab } from './watched-lab.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Ends a fault, and resolves when its causes are gone. */
type Ending = () => Promise<void>

export interface Fault {
  /** Of the relays that have the fault; empty if it is of none. */
  readonly job: string
  /** The alerts that it causes, all that have these names. Others may fire as well. */
  readonly alerts: readonly string[]
  readonly begin: (lab: WatchedLab) => Promise<Ending>
}

export type Faults = Readonly<Record<string, Fault>>

const FLEET = 'derpfleet'
const LARGE = 'derpfleet-large'
const ACME = 'derpfleet-acme'

async function restart(fleet: WatchedFleet, node: string, options = {}): Promise<void> {
  await fleet.kill(node)
  await fleet.startRelay(node, options)
}

/** The processor is taken away from a relay again and again, as on a machine that is throttled. */
function throttle(fleet: WatchedFleet, node: string, turn: { stopMs: number; runMs: number }): Ending {
  const ending = new AbortController()
  const turns = (async () => {
    while (!ending.signal.aborted) {
      fleet.signal(node, 'SIGSTOP')
      await sleep(turn.stopMs)
      fleet.signal(node, 'SIGCONT')
      await sleep(turn.runMs)
    }
  })()
  return async () => {
    ending.abort()
    await turns
  }
}

/** Connections that come and go. */
function knock(host: string, perSecond: number): Ending {
  const timer = setInterval(() => {
    const socket = connect(DERP_PORT, host, () => socket.destroy())
    socket.on('error', () => undefined)
  }, 1_000 / perSecond)
  return async () => {
    clearInterval(timer)
    await Promise.resolve()
  }
}

/** Clients in small groups: for each login, the relay also has a connection to the verifier open. */
async function occupy(fleet: WatchedFleet, node: string, count: number): Promise<Ending> {
  const target = fleet.target(node)
  const clients: DerpClient[] = []
  while (clients.length < count) {
    const group = Array.from({ length: 5 }, async () => DerpClient.connect({ ...target, key: newKeyPair() }))
    clients.push(...(await Promise.all(group)))
  }
  return async () => void (await Promise.all(clients.map(async (one) => await one.close())))
}

/** Several processes of the load generator. */
async function together(count: number, start: () => Promise<Generator>): Promise<Ending> {
  const generators = await Promise.all(Array.from({ length: count }, start))
  return async () => void (await Promise.all(generators.map(async (one) => await one.stop())))
}

const DOWN: Faults = {
  'a relay is killed that is alone in its region': {
    job: FLEET,
    alerts: ['RelayDown', 'RegionDown', 'FleetRelayDown', 'AvailabilityBurn'],
    begin: async ({ fleet }) => {
      await fleet.kill('901a')
      return async () => await fleet.startRelay('901a')
    },
  },
  'a certificate is about to expire': {
    job: FLEET,
    alerts: ['CertificateLifeLow'],
    begin: async ({ fleet }) => {
      const path = fleet.path('900a', '900a.lab.crt')
      const good = `${path}.good`
      await copyFile(path, good)
      const nowMs = Date.now()
      await fleet.replaceCertificate('900a', { fromMs: nowMs - 85 * DAY_MS, untilMs: nowMs + 5 * DAY_MS })
      return async () => await rename(good, path)
    },
  },
  'a sibling stands still again and again': {
    job: FLEET,
    alerts: ['SiblingStalled'],
    // Most answers to pings are half a second late, and none so late that it counts as lost.
    begin: async ({ fleet }) => await Promise.resolve(throttle(fleet, '900b', { stopMs: 2_700, runMs: 300 })),
  },
  'a stranger calls commands': {
    job: FLEET,
    alerts: ['VerbsDenied'],
    begin: async ({ fleet }) => {
      const url = `http://${fleet.admin('902a')}/v1/drain`
      const headers = { authorization: `Bearer ${'x'.repeat(64)}` }
      for (let n = 0; n < 15; n++) await fetch(url, { method: 'POST', headers })
      return async () => await Promise.resolve()
    },
  },
  'NATS is gone': {
    job: LARGE,
    alerts: ['NatsGone'],
    begin: async ({ nats }) => {
      await nats.kill('EU')
      return async () => await nats.restart('EU')
    },
  },
  'a relay thread has died': {
    job: LARGE,
    alerts: ['ThreadDied'],
    begin: async ({ large }) => {
      await large.killThread('910a')
      return async () => await Promise.resolve()
    },
  },
  'file descriptors are nearly all in use': {
    job: LARGE,
    alerts: ['DescriptorsOrMemory'],
    begin: async ({ large }) => await occupy(large, '911a', 155),
  },
  'the authority issues no certificate': {
    job: ACME,
    alerts: ['AcmeFailing'],
    begin: async (lab) => {
      lab.authority.fault = (_, answer) => void (answer.status = 503)
      const relay = await lab.acmeRelay()
      return async () => {
        lab.authority.fault = undefined
        relay.process.signal('SIGHUP')
        await relay.certificate()
      }
    },
  },
}

const SPLIT: Faults = {
  'a relay has started with another mesh key': {
    job: FLEET,
    alerts: ['MeshPartition', 'FleetSplit', 'MapStale'],
    begin: async ({ fleet }) => {
      await restart(fleet, '902a', { psk: 'ab'.repeat(32) })
      return async () => await restart(fleet, '902a')
    },
  },
  'nobody makes leases any more': {
    job: FLEET,
    alerts: ['LeaseLifeLow'],
    begin: async ({ fleet }) => {
      const nowMs = Date.now()
      await fleet.makeLease({ fromMs: nowMs - 23 * HOUR_MS, untilMs: nowMs + HOUR_MS })
      return async () => await fleet.makeLease()
    },
  },
  'two relays take themselves for the same': {
    job: LARGE,
    alerts: ['FleetConflict'],
    begin: async ({ large }) => {
      const double = await large.startDouble('911a')
      return async () => void (await double.stop())
    },
  },
  'a drain takes very long': {
    job: LARGE,
    alerts: ['DrainStuck'],
    begin: async ({ large }) => {
      large.signal('910a', 'SIGTERM')
      return async () => {
        // As the runbook has it: the second one ends the relay at once.
        large.signal('910a', 'SIGTERM')
        await large.ended('910a')
        await large.startRelay('910a')
      }
    },
  },
  'connections come too fast': {
    job: LARGE,
    alerts: ['ConnectionsRejected'],
    begin: async ({ large }) => await Promise.resolve(knock(large.address('911a'), 200)),
  },
}

const SLOW_VERIFIER: Faults = {
  'the verifier is slow': {
    job: FLEET,
    alerts: ['AdmissionSlow'],
    begin: async ({ verify }) => {
      verify.delayMs = 2_500
      return async () => await Promise.resolve(void (verify.delayMs = 0))
    },
  },
  'a regions file is broken': {
    job: FLEET,
    alerts: ['ConfigRefused'],
    begin: async ({ fleet }) => {
      await writeFile(fleet.path('900b', 'regions.yaml'), 'regions: nonsense')
      return async () => await writeFile(fleet.path('900b', 'regions.yaml'), fleet.regionsText)
    },
  },
}

const FAILING_VERIFIER: Faults = {
  'the verifier fails': {
    job: FLEET,
    alerts: [
      'AdmissionBackendDown',
      'AdmissionErrors',
      'AdmissionGraceLow',
      'LoginBurn',
      'RelayNotReady',
      'StunDead',
    ],
    begin: async ({ verify }) => {
      verify.status = 500
      return async () => await Promise.resolve(void (verify.status = 200))
    },
  },
  'a verifier does not answer a relay that then admits everyone': {
    job: LARGE,
    alerts: ['AdmissionFailOpen'],
    begin: async ({ largeVerify }) => {
      largeVerify.delayMs = undefined
      return async () => await Promise.resolve(void (largeVerify.delayMs = 0))
    },
  },
}

const LOAD: Faults = {
  // However many packets there are, the thread looks after its timers within 50 ms; with less of the processor it cannot.
  'a relay thread has more packets than it can carry, and little of the processor': {
    job: FLEET,
    alerts: ['ThreadSaturated', 'HeadroomLow'],
    begin: async (lab) => {
      // Several, so that one always has packets for the relay.
      const args = ['--pairs', '100']
      const endLoad = await together(3, async () => await lab.generate(lab.fleet, '901a', 200, args))
      const endThrottle = throttle(lab.fleet, '901a', { stopMs: 150, runMs: 450 })
      return async () => {
        await endThrottle()
        await endLoad()
      }
    },
  },
}

const MUCH_SENT: Faults = {
  'a relay has sent more than it may in a month': {
    job: FLEET,
    alerts: ['MonthBytesHigh'],
    begin: async ({ fleet }) => {
      await restart(fleet, '900a', { more: ['-month-bytes', '1000'] })
      return async () => await restart(fleet, '900a')
    },
  },
  'clients read slower than others send to them': {
    job: LARGE,
    alerts: ['DropRatioHigh', 'DeliveryBurn'],
    begin: async (lab) => {
      const args = ['--fan-in', '4', '--rate', '4000', '--size', '1000', '--slow', '1500000']
      return await together(4, async () => await lab.generate(lab.large, '910a', 5, args))
    },
  },
}

/** The last: without relays, alerts that wait begin anew. */
export const UNWATCHED: Faults = {
  'Prometheus finds no relay': {
    job: '',
    alerts: ['RelaysAbsent'],
    begin: async (lab) => {
      await lab.watchNothing()
      return async () => await lab.watch()
    },
  },
}

export const PHASES: readonly Faults[] = [DOWN, SPLIT, SLOW_VERIFIER, FAILING_VERIFIER, LOAD, MUCH_SENT]

/** Three hours, which are three minutes here: it begins before the phases, and ends after them. */
export const TWO_VERSIONS: Fault = {
  job: LARGE,
  alerts: ['VersionSkew'],
  begin: async ({ large }) => {
    const program = await makeVersion(join(large.folder, 'next'), '99.0.0', [])
    await restart(large, '911a', { program })
    return async () => await restart(large, '911a')
  },
}
