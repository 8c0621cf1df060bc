// Tries the ports of one relay as a client would: a DERP login, STUN and the captive-portal page, over each family. Which
// relay it is, and whether it may be tried, its caller decides. Bounded: a handful of connections, each for a few seconds,
// and nothing is sent but what a client sends. Runs on the control thread.

import { lookup } from 'node:dns/promises'
import { request } from 'node:http'
import { isIP } from 'node:net'
import { DerpConnectError } from '#client/connect-error.ts'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { sourceAddressFor } from '#client/source-address.ts'
import { askStun } from '#client/stun-request.ts'
import { endpointText } from '#config/endpoint.ts'
import { shortDetail, type LookedPort, type PortKind } from '#fleet/look.ts'
import { derpPortOf, stunPortOf, type Node } from '#fleet/node.ts'
import { reasonOf } from '#fleet/problem.ts'
import { publicKeyText } from '#protocol/node-key.ts'

/** Of one connection, name or answer. Longer than a lost SYN and its repetition. */
const STEP_MS = 3_500
/** Four requests, half a second apart. */
const STUN_MS = 2_000
const HTTP_PORT = 80
/** A standby is a node of several regions; most of them lead to the same place. */
const NODES_MAX = 8

export interface LookParts {
  /** PEM of those that may have signed the certificate. */
  readonly authorities: readonly string[]
}

/** Tries all ports of these nodes at the same time. */
export async function lookAt(nodes: readonly Node[], parts: LookParts): Promise<readonly LookedPort[]> {
  const places = new Map(nodes.map((node) => [placeOf(node), node]))
  const looks = [...places.values()]
    .slice(0, NODES_MAX)
    .flatMap((node) => ([4, 6] as const).map(async (family) => await lookOver(node, family, parts)))
  return (await Promise.all(looks)).flat()
}

/** Nodes with the same place are tried once. */
function placeOf({ hostname, ipv4, ipv6, derpPort, stunPort }: Node): string {
  return JSON.stringify([hostname, ipv4, ipv6, derpPort, stunPort])
}

interface Way {
  readonly node: Node
  readonly family: 4 | 6
  readonly address: string
  /** The address of this host from which packets go there. */
  readonly from: string
}

async function lookOver(node: Node, family: 4 | 6, parts: LookParts): Promise<readonly LookedPort[]> {
  const about = { node: node.name, family }
  const skipped = (detail: string): LookedPort[] => [
    { ...about, kind: 'derp', at: '', result: 'skipped', detail },
  ]
  const address = await addressOf(node, family)
  if (address === undefined) return skipped(`no IPv${family} address`)
  const from = await sourceAddressFor(address, HTTP_PORT)
  if (from === undefined) return skipped(`the relay that looks has no IPv${family} route to ${address}`)
  const way = { node, family, address, from }
  return await Promise.all([
    lookAtPort(way, 'derp', derpPortOf(node), async () => await tryDerp(way, parts)),
    ...(stunPortOf(node) === -1
      ? []
      : [lookAtPort(way, 'stun', stunPortOf(node), async () => await tryStun(way))]),
    ...(node.canPort80 === true ? [lookAtPort(way, 'http', HTTP_PORT, async () => await tryHttp(way))] : []),
  ])
}

type Tried = Omit<LookedPort, 'node' | 'kind' | 'family' | 'at'>

async function lookAtPort(
  { node, family, address }: Way,
  kind: PortKind,
  port: number,
  tryPort: () => Promise<Tried>,
): Promise<LookedPort> {
  const at = endpointText({ host: address, port })
  try {
    const tried = await tryPort()
    return { node: node.name, kind, family, at, ...tried, detail: shortDetail(tried.detail) }
  } catch (error) {
    return { node: node.name, kind, family, at, result: 'failed', detail: shortDetail(reasonOf(error)) }
  }
}

/** As far as the login: that this key is refused there says that the way is good. */
async function tryDerp({ node, address }: Way, { authorities }: LookParts): Promise<Tried> {
  const client = new DerpClient({
    host: node.hostname,
    port: derpPortOf(node),
    dialAddress: address,
    tls: { ca: authorities, ...(node.certName === undefined ? {} : { certName: node.certName }) },
    way: 'upgrade',
    key: newKeyPair(),
    isProber: true,
    connectTimeoutMs: STEP_MS,
  })
  const keyText = (): string | undefined => client.serverKey && publicKeyText(client.serverKey)
  try {
    await client.connect()
    return { result: 'ok', detail: 'admitted', stage: 'login', key: keyText() }
  } catch (error) {
    const stage = error instanceof DerpConnectError ? error.stage : 'dial'
    const isReached = stage === 'login' && client.serverKey !== undefined
    return { result: isReached ? 'ok' : 'failed', detail: reasonOf(error), stage, key: keyText() }
  } finally {
    await client.close()
  }
}

async function tryStun({ node, address, from }: Way): Promise<Tried> {
  const { ip, roundTripMs } = await askStun(address, stunPortOf(node), STUN_MS)
  return { result: 'ok', detail: `answers in ${roundTripMs.toFixed(1)} ms`, sees: ip, from }
}

async function tryHttp({ address, node }: Way): Promise<Tried> {
  const challenge = `ts_${node.name}`
  const sent = request({
    host: address,
    port: HTTP_PORT,
    path: '/generate_204',
    agent: false,
    headers: { Host: node.hostname, 'X-Tailscale-Challenge': challenge },
    signal: AbortSignal.timeout(STEP_MS),
  })
  sent.end()
  const status = await new Promise<string>((resolve, reject) => {
    sent.on('error', reject)
    // An answer 101, which nobody has asked for, ends the connection without an error.
    sent.once('close', () => reject(new Error('closes the connection without an answer')))
    sent.once('response', (response) => {
      response.destroy()
      const isOwn = response.headers['x-tailscale-response'] === `response ${challenge}`
      resolve(response.statusCode === 204 && isOwn ? '' : `answers ${response.statusCode ?? 0}`)
    })
  })
  return status === ''
    ? { result: 'ok', detail: 'answers the challenge' }
    : { result: 'failed', detail: `${status} to /generate_204` }
}

async function addressOf({ hostname, ipv4, ipv6 }: Node, family: 4 | 6): Promise<string | undefined> {
  const given = family === 4 ? ipv4 : ipv6
  if (given !== undefined && given !== '') return isIP(given) === family ? given : undefined
  let limit: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => (limit = setTimeout(() => resolve(undefined), STEP_MS)))
  try {
    return (await Promise.race([lookup(hostname, { family }), late]))?.address
  } catch {
    return undefined
  } finally {
    clearTimeout(limit)
  }
}
