// Whether the relays of a region are meshed. For each ordered pair, a client at one relay sends a packet to a client at
// the other. All pairs count, because the clients of a region may be at any of its relays.

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { DerpClient } from '#client/derp-client.ts'
import { checkOf, CheckError, errorText, outcomeOf, within, type Check, type Outcome } from './check.ts'
import type { NodeReport } from './node-probe.ts'
import { clientOptions, withLikelyCause, type LoginPoint, type ProberRole } from './relay-access.ts'

/** A pair of relays and whether a packet got from one to the other. */
export interface MeshCheck extends Check {
  readonly regionId: number
  readonly from: string
  readonly to: string
}

/** Ten relays make ninety pairs. A region with more is rare, and a fault shows among the first ten. */
const NODES_MAX = 10
/** Time for a relay to announce a new client to its siblings; Tailscale's prober waits as long. */
const SETTLE_MS = 100
/** The packet is repeated, in case it was sent before the announcement arrived. */
const REPEAT_MS = 250
const PACKET_BYTES = 64

/** Checks every region with at least two relays to which clients can log in. */
export async function checkMeshes(
  reports: readonly NodeReport[],
  onCheck: (check: MeshCheck) => void,
): Promise<void> {
  const regions = Map.groupBy(reports, ({ node }) => node.region?.id)
  for (const [regionId, inRegion] of regions) {
    if (regionId === undefined) continue
    const points = inRegion.map(({ loginPoint }) => loginPoint).filter((point) => point !== undefined)
    for (const [from, to] of pairsOf(points.slice(0, NODES_MAX))) {
      onCheck(await checkPair(regionId, from, to))
    }
  }
}

function pairsOf<T>(all: readonly T[]): readonly (readonly [T, T])[] {
  return all.flatMap((from) => all.filter((to) => to !== from).map((to) => [from, to] as const))
}

async function checkPair(regionId: number, from: LoginPoint, to: LoginPoint): Promise<MeshCheck> {
  const outcome = await outcomeOf(() => forward(from, to))
  const check = checkOf('mesh', undefined, outcome)
  return { ...check, regionId, from: nameOf(from), to: nameOf(to) }
}

async function forward(from: LoginPoint, to: LoginPoint): Promise<Outcome<true>> {
  if (from.access.settings.keys.length === 1)
    return { status: 'skip', detail: 'two clients need two keys (-key-file FILE,FILE)' }
  const clients: DerpClient[] = []
  try {
    const sender = await logIn(from, 'sender')
    clients.push(sender)
    const receiver = await logIn(to, 'receiver')
    clients.push(receiver)
    const ms = await sendUntilArrived(sender, receiver, from.access.settings.timeoutMs)
    return { status: 'ok', value: true, detail: 'a packet arrived', ms }
  } finally {
    await Promise.all(clients.map((client) => client.close()))
  }
}

async function sendUntilArrived(
  sender: DerpClient,
  receiver: DerpClient,
  timeoutMs: number,
): Promise<number> {
  const sent = randomBytes(PACKET_BYTES)
  const arrived = receiver.next('packet', ({ packet }) => packet.equals(sent))
  await sleep(SETTLE_MS)
  let sentMs = 0
  const send = (): void => {
    sentMs = performance.now()
    sender.send(receiver.publicKey, sent)
  }
  send()
  const repeat = setInterval(send, REPEAT_MS)
  try {
    await within(timeoutMs, 'no packet arrived', arrived)
    return performance.now() - sentMs
  } catch (error) {
    throw new CheckError(
      errorText(error),
      'mesh the relays of a region with each other, or give each region one relay',
    )
  } finally {
    clearInterval(repeat)
  }
}

async function logIn({ access, address }: LoginPoint, role: ProberRole): Promise<DerpClient> {
  try {
    return await DerpClient.connect(clientOptions(access, address, 'upgrade', role))
  } catch (error) {
    throw withLikelyCause(error, access.settings)
  }
}

/** Only relays of a map are paired, and those have names. */
function nameOf({ access }: LoginPoint): string {
  return access.node.name ?? ''
}
