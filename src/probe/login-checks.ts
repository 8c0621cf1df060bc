// The DERP checks: logs clients in by each login method and sends packets between them. The clients have new keys, so
// a relay that admits only known clients refuses them. With the relay's mesh key, where the user has it, they are
// admitted; the mesh key is sent only to a relay that is trusted with it. With keys that the relay allows they are admitted,
// too; of each key only one client is connected at a time, so that packets reach the one that waits for them.

import { DerpClient } from '#client/derp-client.ts'
import type { Way } from '#client/target.ts'
import { bytesEqual } from '#protocol/bytes.ts'
import { PACKET_BYTES_MAX, WEB_SOCKET_MESSAGE_BYTES_MAX } from '#protocol/limits.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import type { ReachableAddress } from './addresses.ts'
import { CheckError, errorText, type CheckList, type CheckName, type Outcome } from './check.ts'
import { measureRoundTrips, type RoundTrips } from './packet-checks.ts'
import {
  clientOptions,
  isRefusal,
  withLikelyCause,
  type ProberRole,
  type RelayAccess,
} from './relay-access.ts'

/** About the length of a WireGuard packet that carries a full Ethernet frame's payload. */
const PACKET_BYTES = 1_400
/** Enough for a median that one late packet does not change. */
const ROUND_TRIP_COUNT = 10

/** The checks that need a login, in the order in which they are made. */
export const CHECKS_AFTER_LOGIN: readonly CheckName[] = [
  'meta-certificate',
  'fast-start',
  'ping',
  'packet',
  'full-packet',
  'websocket',
]

/** Makes the checks. Returns the relay's key; undefined if no login got that far. */
export async function checkLogins(
  access: RelayAccess,
  addresses: readonly [ReachableAddress, ...ReachableAddress[]],
  checks: CheckList,
): Promise<Uint8Array | undefined> {
  const { settings, tls } = access
  if (settings.meshKey !== undefined && !tls.maySendSecret) {
    checks.skip(
      ['login', ...CHECKS_AFTER_LOGIN],
      'the mesh key is not sent to a relay whose certificate is not trusted',
    )
    return undefined
  }
  const logins = new LoginChecks(access, checks)
  try {
    await logins.run(addresses)
    return logins.serverKey
  } finally {
    await logins.close()
  }
}

/** The clients of one relay's checks. All of them must find the same server key. */
class LoginChecks {
  readonly #access: RelayAccess
  readonly #checks: CheckList
  readonly #clients: DerpClient[] = []
  #upgradeClient: DerpClient | undefined
  #fastStartClient: DerpClient | undefined
  #isRefused = false
  serverKey: Uint8Array | undefined

  constructor(access: RelayAccess, checks: CheckList) {
    this.#access = access
    this.#checks = checks
  }

  async run([first, ...others]: readonly [ReachableAddress, ...ReachableAddress[]]): Promise<void> {
    this.#upgradeClient = await this.#checkLogin('login', first, 'upgrade')
    for (const other of others) {
      if (!this.#isRefused) await this.#checkLogin('login', other, 'upgrade', 'receiver')
    }
    await this.#checks.run('meta-certificate', undefined, async () => this.#metaOutcome())
    if (this.#isRefused) {
      this.#checks.skip(CHECKS_AFTER_LOGIN.slice(1), 'the login was refused')
      return
    }
    this.#fastStartClient = await this.#checkFastStart(first)
    await this.#checkPackets(first)
    await this.#checkWebSocket(first)
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()))
  }

  #checkLogin(
    name: CheckName,
    target: ReachableAddress,
    way: Way,
    role: ProberRole = 'sender',
  ): Promise<DerpClient | undefined> {
    const family = name === 'login' ? target.family : undefined
    return this.#checks.run(name, family, async () => {
      const startMs = performance.now()
      const client = await this.#connect(target, way, role)
      const ms = performance.now() - startMs
      const key = publicKeyText(client.serverKey ?? new Uint8Array())
      const detail = name === 'login' ? `admitted by ${key}` : 'admitted'
      return { status: 'ok', value: client, detail, ms }
    })
  }

  async #checkFastStart(target: ReachableAddress): Promise<DerpClient | undefined> {
    const { metaKey, noMetaReason } = this.#access.tls
    if (metaKey !== undefined) return this.#checkLogin('fast-start', target, 'fast-start', 'receiver')
    this.#checks.skip(['fast-start'], noMetaReason)
    return undefined
  }

  #metaOutcome(): Outcome<true> {
    const { metaKey, noMetaReason } = this.#access.tls
    if (metaKey === undefined) {
      return {
        status: 'skip',
        detail: `${noMetaReason}; clients log in without it, one round trip later`,
      }
    }
    const presented = publicKeyText(metaKey)
    if (this.serverKey === undefined) {
      return { status: 'skip', detail: `it has ${presented}; no login to compare it with` }
    }
    if (bytesEqual(metaKey, this.serverKey)) {
      return { status: 'ok', value: true, detail: "has the relay's key" }
    }
    return {
      status: 'fail',
      detail: `it has ${presented}, but the relay's key is ${publicKeyText(this.serverKey)}`,
      hint: 'clients that use fast start cannot log in. Is TLS terminated by another relay?',
    }
  }

  async #checkPackets(target: ReachableAddress): Promise<void> {
    const sender = [this.#upgradeClient, this.#fastStartClient].find((client) => client?.isConnected === true)
    if (sender === undefined) {
      this.#checks.skip(['ping', 'packet', 'full-packet'], 'no client could log in')
      return
    }
    const { timeoutMs } = this.#access.settings
    await this.#checks.run('ping', undefined, async () => {
      const ms = await sender.ping(timeoutMs)
      return { status: 'ok', value: true, detail: 'pong', ms }
    })
    for (const [name, bytes] of [
      ['packet', PACKET_BYTES],
      ['full-packet', PACKET_BYTES_MAX],
    ] as const) {
      await this.#checks.run(name, undefined, async () => {
        const receiver = this.#hasOneKey ? sender : await this.#receiverFor(sender, target)
        return measureRoundTrips(sender, receiver, { bytes, count: ROUND_TRIP_COUNT, timeoutMs })
      })
    }
  }

  /** The second client: that of the fast start, or a new one if that is missing, closed, or the sender itself. */
  async #receiverFor(sender: DerpClient, target: ReachableAddress): Promise<DerpClient> {
    const current = this.#fastStartClient
    if (current?.isConnected === true && current !== sender) return current
    this.#fastStartClient = await this.#connect(target, sender.way ?? 'auto', 'receiver')
    return this.#fastStartClient
  }

  async #checkWebSocket(target: ReachableAddress): Promise<void> {
    const { usesWebSocket, timeoutMs } = this.#access.settings
    await this.#checks.run('websocket', undefined, async () => {
      if (!usesWebSocket) return { status: 'skip', detail: 'disabled (-websocket=false)' }
      const startMs = performance.now()
      const client = await this.#connect(target, 'websocket', 'sender')
      const ms = performance.now() - startMs
      const receiver = this.#fastStartClient
      if (receiver?.isConnected !== true) return { status: 'ok', value: true, detail: 'admitted', ms }
      // A packet of the largest size shows whether a proxy or a browser's limit cuts messages.
      const trip = { bytes: PACKET_BYTES_MAX, count: 1, timeoutMs }
      const outcome = await measureRoundTrips(client, receiver, trip)
      if (outcome.status !== 'ok') return outcome
      const detail = 'admitted; a full-size packet came back'
      const isForBrowsers = await this.#sendsShortMessages(target, receiver, trip)
      const remark = ` in a message over ${WEB_SOCKET_MESSAGE_BYTES_MAX} bytes, which browsers refuse`
      return { status: 'ok', value: true, detail: isForBrowsers ? detail : detail + remark, ms }
    })
  }

  /**
   * Whether a client with the message limit of browser clients also gets its packet back. With derper it does not,
   * which rarely matters because real packets are short. Therefore this does not fail a relay.
   */
  async #sendsShortMessages(
    target: ReachableAddress,
    receiver: DerpClient,
    trip: RoundTrips,
  ): Promise<boolean> {
    const options = clientOptions(this.#access, target, 'websocket')
    try {
      await this.#closeOthers(options.key.publicKey)
      const webSocketMessageBytesMax = WEB_SOCKET_MESSAGE_BYTES_MAX
      const client = await DerpClient.connect({ ...options, webSocketMessageBytesMax })
      this.#clients.push(client)
      return (await measureRoundTrips(client, receiver, trip)).status === 'ok'
    } catch (error) {
      if (errorText(error).includes(`more than ${WEB_SOCKET_MESSAGE_BYTES_MAX} bytes`)) return false
      throw error
    }
  }

  get #hasOneKey(): boolean {
    return this.#access.settings.keys.length === 1
  }

  /** Of several clients with one key, the relay sends packets to one. */
  async #closeOthers(key: Uint8Array): Promise<void> {
    const others = this.#clients.filter(({ publicKey }) => bytesEqual(publicKey, key))
    await Promise.all(others.map((client) => client.close()))
  }

  async #connect(target: ReachableAddress, way: Way, role: ProberRole): Promise<DerpClient> {
    const options = clientOptions(this.#access, target, way, role)
    await this.#closeOthers(options.key.publicKey)
    const client = new DerpClient(options)
    try {
      await client.connect()
    } catch (error) {
      this.serverKey ??= client.serverKey
      // After one admitted client, a refusal has another cause than an unknown key.
      if (this.#clients.length > 0) throw error
      this.#isRefused = isRefusal(error)
      throw withLikelyCause(error, this.#access.settings)
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
      `another relay answers: its key is ${publicKeyText(serverKey)}, before it was ${publicKeyText(this.serverKey)}`,
      'each address must lead to one relay. Is there a load balancer in front of several?',
    )
  }
}
