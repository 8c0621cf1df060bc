// The DERP side of a relay, as a client sees it: logging in by every way there is, and packets between throw-away
// clients. All of them have fresh keys, so a relay that admits only clients it knows refuses them; the mesh key,
// where the user has it, opens that door, and is told to servers alone that are trusted with it.

import { randomBytes } from 'node:crypto'
import { DerpConnectError } from '#client/connect-error.ts'
import { DerpClient, newKeyPair, type ClientOptions } from '#client/derp-client.ts'
import type { SharedResources } from '#client/shared-resources.ts'
import type { Way } from '#client/target.ts'
import { bytesEqual } from '#protocol/bytes.ts'
import { PACKET_BYTES_MAX, WEB_SOCKET_MESSAGE_BYTES_MAX } from '#protocol/limits.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import type { ReachableAddress } from './addresses.ts'
import { CheckError, errorText, within, type CheckList, type CheckName, type Outcome } from './check.ts'
import type { ProbeSettings } from '#cli/probe-options.ts'
import type { ProbeNode } from './target.ts'
import type { TlsResult } from './tls-checks.ts'

/** A WireGuard packet of a full Ethernet frame's payload is about that long. */
const PACKET_BYTES = 1_400
/** Enough for a median that one late packet does not move. */
const ROUND_COUNT = 10

/** A relay that TLS, where there is any, is done with. */
export interface RelayAccess {
  readonly node: ProbeNode
  readonly settings: ProbeSettings
  readonly tlsResult: TlsResult
  readonly shared: SharedResources
}

/** Everything behind the first login; in the order in which the checks are made. */
export const CHECKS_AFTER_LOGIN: readonly CheckName[] = [
  'meta-certificate',
  'fast-start',
  'ping',
  'packet',
  'full-packet',
  'websocket',
]

/** Makes the checks; answers the relay's key, undefined when nobody told it. */
export async function checkLogins(
  access: RelayAccess,
  places: readonly [ReachableAddress, ...ReachableAddress[]],
  checks: CheckList,
): Promise<Uint8Array | undefined> {
  const { settings, tlsResult } = access
  if (settings.meshKey !== undefined && !tlsResult.isTrusted) {
    checks.skip(
      ['login', ...CHECKS_AFTER_LOGIN],
      'the mesh key is not told to a relay whose certificate is not trusted',
    )
    return undefined
  }
  const logins = new Logins(access, checks)
  try {
    await logins.run(places)
    return logins.serverKey
  } finally {
    await logins.close()
  }
}

/** The clients of one relay's checks, and the key that they all must find there. */
class Logins {
  readonly #approach: RelayAccess
  readonly #checks: CheckList
  readonly #clients: DerpClient[] = []
  #alice: DerpClient | undefined
  #bob: DerpClient | undefined
  #isRefused = false
  serverKey: Uint8Array | undefined

  constructor(access: RelayAccess, checks: CheckList) {
    this.#approach = access
    this.#checks = checks
  }

  async run([place, ...others]: readonly [ReachableAddress, ...ReachableAddress[]]): Promise<void> {
    this.#alice = await this.#check('login', place, 'upgrade')
    for (const other of others) {
      if (!this.#isRefused) await this.#check('login', other, 'upgrade')
    }
    await this.#checks.run('meta-certificate', undefined, async () => this.#metaOutcome())
    if (this.#isRefused) {
      this.#checks.skip(CHECKS_AFTER_LOGIN.slice(1), 'the login was refused')
      return
    }
    this.#bob = await this.#checkFastStart(place)
    await this.#checkPackets(place)
    await this.#checkWebSocket(place)
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()))
  }

  #check(name: CheckName, place: ReachableAddress, way: Way): Promise<DerpClient | undefined> {
    const family = name === 'login' ? place.family : undefined
    return this.#checks.run(name, family, async () => {
      const startMs = performance.now()
      const client = await this.#connect(place, way)
      const ms = performance.now() - startMs
      const key = publicKeyText(client.serverKey ?? new Uint8Array())
      const detail = name === 'login' ? `admitted by ${key}` : 'admitted'
      return { status: 'ok', value: client, detail, ms }
    })
  }

  async #checkFastStart(place: ReachableAddress): Promise<DerpClient | undefined> {
    const { metaKey, noMetaReason } = this.#approach.tlsResult
    if (metaKey !== undefined) return this.#check('fast-start', place, 'fast-start')
    this.#checks.skip(['fast-start'], `no meta certificate: ${noMetaReason}`)
    return undefined
  }

  #metaOutcome(): Outcome<true> {
    const { metaKey, noMetaReason } = this.#approach.tlsResult
    if (metaKey === undefined) {
      return {
        status: 'skip',
        detail: `${noMetaReason}; clients log in all the same, one round trip later`,
      }
    }
    const presented = publicKeyText(metaKey)
    if (this.serverKey === undefined) {
      return { status: 'skip', detail: `it says ${presented}; no login to compare it with` }
    }
    if (bytesEqual(metaKey, this.serverKey)) {
      return { status: 'ok', value: true, detail: 'has the key that the relay logs in with' }
    }
    return {
      status: 'fail',
      detail: `it says ${presented}, the relay logs in with ${publicKeyText(this.serverKey)}`,
      hint: 'clients that start fast can not log in: does TLS end at another relay?',
    }
  }

  async #checkPackets(place: ReachableAddress): Promise<void> {
    const alice = this.#alice ?? this.#bob
    if (alice?.isConnected !== true) {
      this.#checks.skip(['ping', 'packet', 'full-packet'], 'no client could log in')
      return
    }
    const { timeoutMs } = this.#approach.settings
    await this.#checks.run('ping', undefined, async () => {
      const ms = await alice.ping(timeoutMs)
      return { status: 'ok', value: true, detail: 'pong', ms }
    })
    for (const [name, bytes] of [
      ['packet', PACKET_BYTES],
      ['full-packet', PACKET_BYTES_MAX],
    ] as const) {
      await this.#checks.run(name, undefined, async () => {
        if (this.#bob?.isConnected !== true || this.#bob === alice) {
          this.#bob = await this.#connect(place, alice.way ?? 'auto')
        }
        return roundTrips(alice, this.#bob, { bytes, rounds: ROUND_COUNT, timeoutMs })
      })
    }
  }

  async #checkWebSocket(place: ReachableAddress): Promise<void> {
    const { usesWebSocket, timeoutMs } = this.#approach.settings
    await this.#checks.run('websocket', undefined, async () => {
      if (!usesWebSocket) return { status: 'skip', detail: 'switched off (-websocket=false)' }
      const startMs = performance.now()
      const cathy = await this.#connect(place, 'websocket')
      const ms = performance.now() - startMs
      const bob = this.#bob
      if (bob?.isConnected !== true) return { status: 'ok', value: true, detail: 'admitted', ms }
      // The largest packet shows what else limits messages: a proxy in front, or the browser.
      const trip = { bytes: PACKET_BYTES_MAX, rounds: 1, timeoutMs }
      const trips = await roundTrips(cathy, bob, trip)
      if (trips.status !== 'ok') return trips
      const detail = 'admitted; a full-size packet came back'
      const isForBrowsers = await this.#takesShortMessages(place, bob, trip)
      const remark = ` in a message over ${WEB_SOCKET_MESSAGE_BYTES_MAX} bytes, which browsers refuse`
      return { status: 'ok', value: true, detail: isForBrowsers ? detail : detail + remark, ms }
    })
  }

  /**
   * Whether a client that takes no longer messages than browsers' clients do gets its packet too. With derper it
   * does not, and seldom misses it: real packets are short. So this fails no relay.
   */
  async #takesShortMessages(place: ReachableAddress, bob: DerpClient, trip: Trip): Promise<boolean> {
    const options = clientOptions(this.#approach, place, 'websocket')
    try {
      const webSocketMessageBytesMax = WEB_SOCKET_MESSAGE_BYTES_MAX
      const dora = await DerpClient.connect({ ...options, webSocketMessageBytesMax })
      this.#clients.push(dora)
      return (await roundTrips(dora, bob, trip)).status === 'ok'
    } catch (error) {
      if (errorText(error).includes(`more than ${WEB_SOCKET_MESSAGE_BYTES_MAX} bytes`)) return false
      throw error
    }
  }

  async #connect(place: ReachableAddress, way: Way): Promise<DerpClient> {
    const client = new DerpClient(clientOptions(this.#approach, place, way))
    try {
      await client.connect()
    } catch (error) {
      this.serverKey ??= client.serverKey
      // Who was admitted before is not refused for being unknown.
      if (this.#clients.length > 0) throw error
      this.#isRefused = isRefusal(error)
      throw explained(error, this.#approach.settings)
    }
    this.#clients.push(client)
    this.#compareKeys(client)
    return client
  }

  #compareKeys({ serverKey }: DerpClient): void {
    if (serverKey === undefined) return
    this.serverKey ??= serverKey
    if (bytesEqual(serverKey, this.serverKey)) return
    throw new CheckError(
      `another relay answers now: ${publicKeyText(serverKey)}, before it was ${publicKeyText(this.serverKey)}`,
      'clients need one relay behind each address: is there a load balancer in front of several?',
    )
  }
}

/** How a throw-away client gets to a relay. */
export function clientOptions(access: RelayAccess, place: ReachableAddress, way: Way): ClientOptions {
  const { node, settings, tlsResult, shared } = access
  return {
    host: node.host,
    port: node.port,
    dialAddress: place.address,
    tls: tlsResult.tls,
    way,
    key: newKeyPair(),
    isProber: true,
    connectTimeoutMs: settings.timeoutMs,
    shared,
    ...(settings.meshKey === undefined ? {} : { meshKey: settings.meshKey }),
  }
}

/** Everything before the admission went well, and then the relay ended the connection. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof DerpConnectError && error.stage === 'login' && error.message.startsWith('not admitted: ')
  )
}

/** The same error with its likely cause. */
export function explained(error: unknown, settings: ProbeSettings): unknown {
  if (isRefusal(error)) {
    const hint =
      settings.meshKey === undefined
        ? 'most likely it admits only clients that its control server knows, and a probe is none: -mesh-psk-file FILE, with its mesh key, lets probes in'
        : "most likely it admits only clients that its control server knows, and the mesh key is not this relay's"
    return new CheckError(`the relay refused the login: ${errorText(error)}`, hint)
  }
  if (error instanceof DerpConnectError && error.stage === 'upgrade' && error.status !== undefined) {
    return new CheckError(
      error.message,
      'a DERP relay answers 101 here: is it one, is relaying switched off, or does a proxy in front not pass the upgrade on?',
    )
  }
  return error
}

interface Trip {
  readonly bytes: number
  readonly rounds: number
  /** For each round. */
  readonly timeoutMs: number
}

/** Sends packets from one client to another that returns them; the median of the round trips. */
async function roundTrips(alice: DerpClient, bob: DerpClient, trip: Trip): Promise<Outcome<true>> {
  const off = bob.on('packet', ({ source, packet }) => {
    if (bytesEqual(source, alice.publicKey)) bob.send(source, packet)
  })
  const times: number[] = []
  try {
    for (let round = 1; round <= trip.rounds; round++) {
      times.push(await roundTrip(alice, bob, trip))
    }
  } catch (error) {
    const which = trip.rounds === 1 ? '' : ` (packet ${times.length + 1} of ${trip.rounds})`
    if (error instanceof CheckError) throw error
    throw new Error(`${errorText(error)}${which}`, { cause: error })
  } finally {
    off()
  }
  const ms = median(times)
  return { status: 'ok', value: true, detail: `${times.length} × ${trip.bytes} bytes and back, median`, ms }
}

async function roundTrip(alice: DerpClient, bob: DerpClient, { bytes, timeoutMs }: Trip): Promise<number> {
  const sent = randomBytes(bytes)
  const back = alice.next('packet', ({ source, packet }) => {
    return bytesEqual(source, bob.publicKey) && packet.equals(sent)
  })
  const gone = alice
    .next('peerGone', ({ key }) => bytesEqual(key, bob.publicKey))
    .then(() => {
      throw new CheckError(
        'the relay says that the other client is not there, though it is logged in',
        'is there a load balancer in front of several relays?',
      )
    })
  gone.catch(() => undefined)
  const limitedBefore = alice.packetsLimited
  const startMs = performance.now()
  alice.send(bob.publicKey, sent)
  if (alice.packetsLimited > limitedBefore) {
    throw new Error(`the relay asks clients for a send limit that ${bytes} bytes exceed`)
  }
  await within(timeoutMs, `a packet of ${bytes} bytes did not come back`, Promise.race([back, gone]))
  return performance.now() - startMs
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
