// Whether the relays of a region are meshed: a packet from a client at one to a client at another, for each ordered
// pair. Clients of one region may be at any of its relays, so every pair counts.

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { DerpClient } from '#client/derp-client.ts'
import { checkOf, CheckError, errorText, outcomeOf, within, type Check, type Outcome } from './check.ts'
import { clientOptions, explained } from './login-checks.ts'
import type { LoginPoint, NodeReport } from './node-probe.ts'

/** A pair of relays and what became of the packet. */
export interface MeshCheck extends Check {
  readonly regionId: number
  readonly from: string
  readonly to: string
}

/** Ten relays make ninety pairs; a region with more is rare, and a fault shows among the first. */
const NODES_MAX = 10
/** What a relay may take to tell its siblings of a new client; Tailscale's prober waits as long. */
const SETTLE_MS = 100
/** A packet that came too early for the siblings' news is sent again. */
const REPEAT_MS = 250
const PACKET_BYTES = 64

/** Checks every region that has two relays or more to which clients can log in. */
export async function checkMeshes(
  reports: readonly NodeReport[],
  onCheck: (check: MeshCheck) => void,
): Promise<void> {
  const regions = Map.groupBy(reports, ({ node }) => node.region?.id)
  for (const [regionId, all] of regions) {
    if (regionId === undefined) continue
    const met = all.map(({ loginPoint }) => loginPoint).filter((loginPoint) => loginPoint !== undefined)
    for (const [from, to] of pairsOf(met.slice(0, NODES_MAX))) onCheck(await checkPair(regionId, from, to))
  }
}

function pairsOf<T>(all: readonly T[]): readonly (readonly [T, T])[] {
  return all.flatMap((from) => all.filter((to) => to !== from).map((to) => [from, to] as const))
}

async function checkPair(regionId: number, from: LoginPoint, to: LoginPoint): Promise<MeshCheck> {
  const outcome = await outcomeOf(() => crossing(from, to))
  const check = checkOf('mesh', undefined, outcome)
  return { ...check, regionId, from: nameOf(from), to: nameOf(to) }
}

async function crossing(from: LoginPoint, to: LoginPoint): Promise<Outcome<true>> {
  const clients: DerpClient[] = []
  try {
    const alice = await meet(from)
    clients.push(alice)
    const bob = await meet(to)
    clients.push(bob)
    const ms = await sendAcross(alice, bob, from.access.settings.timeoutMs)
    return { status: 'ok', value: true, detail: 'a packet came through', ms }
  } finally {
    await Promise.all(clients.map((client) => client.close()))
  }
}

async function sendAcross(alice: DerpClient, bob: DerpClient, timeoutMs: number): Promise<number> {
  const sent = randomBytes(PACKET_BYTES)
  const arrived = bob.next('packet', ({ packet }) => packet.equals(sent))
  await sleep(SETTLE_MS)
  let sentMs = 0
  const send = (): void => {
    sentMs = performance.now()
    alice.send(bob.publicKey, sent)
  }
  send()
  const repeat = setInterval(send, REPEAT_MS)
  try {
    await within(timeoutMs, 'no packet came through', arrived)
    return performance.now() - sentMs
  } catch (error) {
    throw new CheckError(
      errorText(error),
      'the relays of a region have to be meshed, or every region has to have one relay',
    )
  } finally {
    clearInterval(repeat)
  }
}

async function meet({ access, place }: LoginPoint): Promise<DerpClient> {
  try {
    return await DerpClient.connect(clientOptions(access, place, 'upgrade'))
  } catch (error) {
    throw explained(error, access.settings)
  }
}

/** Only a map's relays are paired, and those have names. */
function nameOf({ access }: LoginPoint): string {
  return access.node.name ?? ''
}
