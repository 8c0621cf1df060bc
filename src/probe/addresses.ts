// Where a relay can be reached from here: its addresses by family, whether this machine has a way to them, and
// whether something takes TCP connections there. What this machine can't try is skipped, not held against the relay.

import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { isIP, isIPv6, connect, type Socket } from 'node:net'
import { isLoopback } from '#config/listener-settings.ts'
import { codeOf, errorText, within, type CheckList, type Outcome } from './check.ts'
import type { IpFamily, ProbeSettings } from '#cli/probe-options.ts'
import type { ProbeNode } from './target.ts'

/** A family's way to a relay: the address to dial, or why there is none. */
export type AddressResult = { readonly family: IpFamily } & (
  | { readonly address: string; readonly isGiven: boolean; readonly source: string }
  | { readonly reason: string }
)

/** A place that can be dialled. */
export type ReachableAddress = Extract<AddressResult, { readonly address: string }>

/** Looks the relay's addresses up; every family that is asked for is in the answer. */
export async function findAddresses(
  node: ProbeNode,
  settings: ProbeSettings,
  checks: CheckList,
): Promise<readonly AddressResult[]> {
  const places = await checks.run('addresses', undefined, async () => {
    const startMs = performance.now()
    const byDns = await lookUp(node, settings)
    const ms = performance.now() - startMs
    const places = await Promise.all(settings.families.map((family) => addressFor(node, family, byDns)))
    const detail = places.map((place) => addressText(place, byDns)).join('; ')
    if (!places.some((place) => 'address' in place)) return { status: 'fail', detail }
    return byDns.length === 0
      ? { status: 'ok', value: places, detail }
      : { status: 'ok', value: places, detail, ms }
  })
  return places ?? []
}

interface DnsAddress {
  readonly family: number
  readonly address: string
}

/** All that DNS has, where it has to be asked at all. */
async function lookUp(node: ProbeNode, settings: ProbeSettings): Promise<readonly DnsAddress[]> {
  if (!settings.families.some((family) => node.addresses[family] === '')) return []
  try {
    return await within(settings.timeoutMs, 'DNS has not answered', lookup(node.host, { all: true }))
  } catch (error) {
    // With an address in the map, a name that only some know is no fault.
    if (settings.families.some((family) => isIP(node.addresses[family]) !== 0)) return []
    throw error
  }
}

async function addressFor(node: ProbeNode, family: IpFamily, byDns: readonly DnsAddress[]): Promise<AddressResult> {
  const given = node.addresses[family]
  const address = given === '' ? byDns.find((one) => one.family === family)?.address : given
  if (address === undefined || isIP(address) !== family) return { family, reason: `no IPv${family} address` }
  const source = await sourceFor(address, node.port)
  if (source === undefined) return { family, reason: `this machine has no IPv${family} route to ${address}` }
  return { family, address, isGiven: given !== '', source }
}

/** The local address that packets to another one would leave from; undefined without a route. Sends nothing. */
async function sourceFor(address: string, port: number): Promise<string | undefined> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
  try {
    socket.connect(port, address)
    await once(socket, 'connect')
    return socket.address().address
  } catch {
    return undefined
  } finally {
    socket.close()
  }
}

function addressText(place: AddressResult, byDns: readonly DnsAddress[]): string {
  if (!('address' in place)) return place.reason
  const others = place.isGiven ? 0 : byDns.filter((one) => one.family === place.family).length - 1
  return others > 0 ? `${place.address} (and ${others} more, not probed)` : place.address
}

/** What TCP has shown: where something listens, and the places without those that can't be tried from here. */
export interface TcpResult {
  readonly listening: readonly ReachableAddress[]
  readonly places: readonly AddressResult[]
}

/** Opens a TCP connection to each place. */
export async function checkTcp(
  node: ProbeNode,
  found: readonly AddressResult[],
  settings: ProbeSettings,
  checks: CheckList,
): Promise<TcpResult> {
  const attempts: Attempt[] = []
  for (const place of found) attempts.push(await tryTcp(place, node.port, settings.timeoutMs))
  const listening: ReachableAddress[] = []
  const places: AddressResult[] = []
  for (const attempt of attempts) {
    const { place, outcome } = attempt
    const others = attempts.filter((other) => other !== attempt)
    const judged = outcome.status === 'fail' ? excused(attempt, others) : outcome
    checks.add('tcp', place.family, judged)
    if (judged.status === 'ok') listening.push(judged.value)
    places.push(judged.status === 'skip' ? { family: place.family, reason: judged.detail } : place)
  }
  return { listening, places }
}

interface Attempt {
  readonly place: AddressResult
  readonly outcome: Outcome<ReachableAddress>
  readonly error?: unknown
}

async function tryTcp(place: AddressResult, port: number, timeoutMs: number): Promise<Attempt> {
  if (!('address' in place)) return { place, outcome: { status: 'skip', detail: place.reason } }
  const { address } = place
  try {
    const { socket, ms } = await openTcp(address, port, timeoutMs)
    socket.destroy()
    return { place, outcome: { status: 'ok', value: place, detail: `${address}, port ${port}`, ms } }
  } catch (error) {
    return {
      place,
      outcome: { status: 'fail', detail: `${address}, port ${port}: ${errorText(error)}` },
      error,
    }
  }
}

/** A failure, or a skip where it says nothing about a relay that can be reached by its other address. */
function excused({ place, outcome, error }: Attempt, others: readonly Attempt[]): Outcome<ReachableAddress> {
  if (!('address' in place)) return outcome
  // A machine's own name stands for both families, whichever of them something listens on.
  const isOwnName = !place.isGiven && isLoopback(place.address) && codeOf(error) === 'ECONNREFUSED'
  if (isOwnName && others.some((other) => other.outcome.status === 'ok')) {
    return { status: 'skip', detail: `nothing listens on ${place.address}, which every machine has` }
  }
  const hasOther = others.some((other) => 'address' in other.place)
  return hasOther && lacksPublicSource(place) ? { status: 'skip', detail: noPublicSourceText(place) } : outcome
}

/** A TCP connection and how long it took. The socket's later errors are its user's. */
export async function openTcp(
  address: string,
  port: number,
  timeoutMs: number,
): Promise<{ readonly socket: Socket; readonly ms: number }> {
  const startMs = performance.now()
  const socket = connect({ host: address, port })
  try {
    await within(timeoutMs, 'no connection', once(socket, 'connect'))
    return { socket, ms: performance.now() - startMs }
  } catch (error) {
    // Destroyed sockets may still have an error to tell.
    socket.on('error', () => undefined)
    socket.destroy()
    throw error
  }
}

/**
 * Whether an address of the public internet would be dialled from one that is not: a machine with private IPv6
 * addresses has routes, but seldom a way out.
 */
export function lacksPublicSource({ family, address, source }: ReachableAddress): boolean {
  return family === 6 && isGlobalIpv6(address) && !isGlobalIpv6(source)
}

export function noPublicSourceText({ address, source }: ReachableAddress): string {
  return `no answer from ${address}, and this machine's own IPv6 address (${source}) is not a public one`
}

/** 2000::/3 (RFC 4291 §2.4): all that is routed between networks. */
function isGlobalIpv6(address: string): boolean {
  return /^[23][\da-f]{3}:/i.test(address)
}
