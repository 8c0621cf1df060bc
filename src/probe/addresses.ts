// The addresses of a relay and whether they can be reached from this machine: looks them up for each family, checks
// that the machine has a route, and opens a TCP connection to each. A failure that has its cause on this machine is a
// skipped check, not a failed one.

import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { isIP, connect, type Socket } from 'node:net'
import { sourceAddressFor } from '#client/source-address.ts'
import { isLoopback } from '#config/endpoint.ts'
import { codeOf, errorText, within, type CheckList, type Outcome } from './check.ts'
import type { ProbedNode } from './probed-node.ts'
import type { IpFamily, ProbeSettings } from './settings.ts'

/** The relay's address in one family, or the reason why there is none to dial. */
export type AddressResult = { readonly family: IpFamily } & (
  | {
      readonly address: string
      /** It is from the map or the command line, not from DNS. */
      readonly isGiven: boolean
      /** The local address that packets to it leave from. */
      readonly source: string
    }
  | { readonly reason: string }
)

/** An address that can be dialled. */
export type ReachableAddress = Extract<AddressResult, { readonly address: string }>

/** Finds the relay's addresses. The result has one entry for each family of the settings; it is empty after a failure. */
export async function findAddresses(
  node: ProbedNode,
  settings: ProbeSettings,
  checks: CheckList,
): Promise<readonly AddressResult[]> {
  const found = await checks.run('addresses', undefined, async () => {
    const startMs = performance.now()
    const fromDns = await lookUp(node, settings)
    const ms = performance.now() - startMs
    const results = await Promise.all(settings.families.map((family) => addressFor(node, family, fromDns)))
    const detail = results.map((result) => addressText(result, fromDns)).join('; ')
    if (!results.some((result) => 'address' in result)) return { status: 'fail', detail }
    return fromDns.length === 0
      ? { status: 'ok', value: results, detail }
      : { status: 'ok', value: results, detail, ms }
  })
  return found ?? []
}

interface DnsAddress {
  readonly family: number
  readonly address: string
}

/** All addresses in DNS; empty when the node itself names an address for every family. */
async function lookUp(node: ProbedNode, settings: ProbeSettings): Promise<readonly DnsAddress[]> {
  if (!settings.families.some((family) => node.addresses[family] === '')) return []
  try {
    return await within(settings.timeoutMs, 'no answer from DNS', lookup(node.host, { all: true }))
  } catch (error) {
    // A map may name a host that is not in this machine's DNS. With an address in the map that is no fault.
    if (settings.families.some((family) => isIP(node.addresses[family]) !== 0)) return []
    throw error
  }
}

async function addressFor(
  node: ProbedNode,
  family: IpFamily,
  fromDns: readonly DnsAddress[],
): Promise<AddressResult> {
  const given = node.addresses[family]
  const address = given === '' ? fromDns.find((one) => one.family === family)?.address : given
  if (address === undefined || isIP(address) !== family) return { family, reason: `no IPv${family} address` }
  const source = await sourceAddressFor(address, node.port)
  if (source === undefined) return { family, reason: `this machine has no IPv${family} route to ${address}` }
  return { family, address, isGiven: given !== '', source }
}

function addressText(result: AddressResult, fromDns: readonly DnsAddress[]): string {
  if (!('address' in result)) return result.reason
  const others = result.isGiven ? 0 : fromDns.filter((one) => one.family === result.family).length - 1
  return others > 0 ? `${result.address} (and ${others} more, not probed)` : result.address
}

export interface TcpResult {
  /** The addresses that accept TCP connections. */
  readonly listening: readonly ReachableAddress[]
  /** All addresses; those whose check was skipped have the reason instead of the address. */
  readonly addresses: readonly AddressResult[]
}

/** Opens a TCP connection to each address. */
export async function checkTcp(
  node: ProbedNode,
  found: readonly AddressResult[],
  settings: ProbeSettings,
  checks: CheckList,
): Promise<TcpResult> {
  const attempts: TcpAttempt[] = []
  for (const target of found) attempts.push(await tryTcp(target, node.port, settings.timeoutMs))
  const listening: ReachableAddress[] = []
  const addresses: AddressResult[] = []
  for (const attempt of attempts) {
    const { target, outcome } = attempt
    const others = attempts.filter((other) => other !== attempt)
    const judged = outcome.status === 'fail' ? failureOrSkip(attempt, others) : outcome
    checks.add('tcp', target.family, judged)
    if (judged.status === 'ok') listening.push(judged.value)
    addresses.push(judged.status === 'skip' ? { family: target.family, reason: judged.detail } : target)
  }
  return { listening, addresses }
}

interface TcpAttempt {
  readonly target: AddressResult
  readonly outcome: Outcome<ReachableAddress>
  readonly error?: unknown
}

async function tryTcp(target: AddressResult, port: number, timeoutMs: number): Promise<TcpAttempt> {
  if (!('address' in target)) return { target, outcome: { status: 'skip', detail: target.reason } }
  const { address } = target
  try {
    const { socket, ms } = await openTcp(address, port, timeoutMs)
    socket.destroy()
    return { target, outcome: { status: 'ok', value: target, detail: `${address}, port ${port}`, ms } }
  } catch (error) {
    return {
      target,
      outcome: { status: 'fail', detail: `${address}, port ${port}: ${errorText(error)}` },
      error,
    }
  }
}

/** The failure, or a skip if its cause is this machine and the relay has another address. */
function failureOrSkip(
  { target, outcome, error }: TcpAttempt,
  others: readonly TcpAttempt[],
): Outcome<ReachableAddress> {
  if (!('address' in target)) return outcome
  // `localhost` resolves to both loopback addresses; a relay needs to listen on only one of them.
  const isLocalName = !target.isGiven && isLoopback(target.address) && codeOf(error) === 'ECONNREFUSED'
  if (isLocalName && others.some((other) => other.outcome.status === 'ok')) {
    return {
      status: 'skip',
      detail: `nothing listens on ${target.address}; the other loopback address is used`,
    }
  }
  const hasOther = others.some((other) => 'address' in other.target)
  return hasOther && lacksPublicSource(target)
    ? { status: 'skip', detail: noPublicSourceText(target) }
    : outcome
}

/** Opens a TCP connection and measures how long that takes. The caller handles the socket's later errors. */
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
    // A destroyed socket may still emit an error.
    socket.on('error', () => undefined)
    socket.destroy()
    throw error
  }
}

/**
 * Whether a public IPv6 address would be dialled from one that is not public. A machine with private IPv6 addresses
 * has routes, but usually no connection to the internet over IPv6.
 */
export function lacksPublicSource({ family, address, source }: ReachableAddress): boolean {
  return family === 6 && isGlobalIpv6(address) && !isGlobalIpv6(source)
}

export function noPublicSourceText({ address, source }: ReachableAddress): string {
  return `no answer from ${address}, and this machine's IPv6 address (${source}) is not public`
}

/** 2000::/3, the global unicast addresses (RFC 4291 §2.4). */
function isGlobalIpv6(address: string): boolean {
  return /^[23][\da-f]{3}:/i.test(address)
}
