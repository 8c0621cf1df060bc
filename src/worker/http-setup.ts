// Makes the HTTP server of a relay thread from the settings: its acceptor, its pages and its limits.
// Construction only. Runs on a relay thread.

import type { Settings } from '#config/settings.ts'
import type { RelayLimits } from '#protocol/relay-limits.ts'
import { pathOf } from '#protocol/upgrade.ts'
import type { Counters } from '#relay/counters.ts'
import { ConnectionGate } from '#relay/connection-gate.ts'
import type { Relay } from '#relay/relay.ts'
import { AcceptBudget } from '#transport/accept-budget.ts'
import type { Acceptor, AcceptorHost } from '#transport/acceptor.ts'
import { pageOf, type HttpPages, type StatusPage } from '#transport/http-pages.ts'
import { HttpServer } from '#transport/http-server.ts'
import { loadNative } from '#transport/native.ts'
import type { PublishedPages } from '#transport/published-pages.ts'
import type { ReadScheduler } from '#transport/read-scheduler.ts'
import type { TlsContexts } from '#transport/tls-contexts.ts'
import { UpgradeHandler } from '#transport/upgrade-handler.ts'
import { makeAcceptor, type AcceptorSetup } from './acceptor-setup.ts'
import { now } from './clock.ts'
import { REGIONS_PATH, type RemoteRegions } from './remote-regions.ts'
import type { RelayThreadData } from './thread-messages.ts'

/** How long a connection may wait for its next HTTP request; derper's. */
const IDLE_TIMEOUT_MS = 30_000
/** On a plain port a proxy keeps connections for reuse, and must be the first to end them: nginx after 60 s, Go after 90. */
const PROXY_IDLE_TIMEOUT_MS = 120_000

export interface HttpSetup {
  readonly data: RelayThreadData
  /** Undefined on plain TCP. */
  readonly tls: TlsContexts | undefined
  readonly counters: Counters
  readonly relay: Relay
  readonly isMemoryShort: () => boolean
  readonly scheduler: ReadScheduler
  /** The present bootstrap DNS answer; empty without names. */
  readonly bootstrapDns: () => string
  /** Undefined: the operator shows none. */
  readonly publicStatus: () => StatusPage | undefined
  readonly regions: RemoteRegions
  readonly published: PublishedPages
  /** The home page in use. */
  readonly home: () => Settings['home']
  readonly ways: Pick<AcceptorSetup, 'onWay' | 'onOpensslFailed' | 'onSelfTestFailed'>
}

export function makeHttpServer(setup: HttpSetup): HttpServer {
  const { bootstrapDns, counters, data, home, isMemoryShort, publicStatus, published, regions, relay, tls } =
    setup
  const { isDerpEnabled, limits } = data.settings
  const gate = new ConnectionGate({ addresses: relay.addresses, counters, isMemoryShort })
  const upgrades = new UpgradeHandler({
    counters,
    now,
    openSession: (link, wish) => relay.accept({ link, ...wish }),
  })
  const pages: HttpPages = {
    get home() {
      return home()
    },
    isDerpEnabled,
    bootstrapDns,
    publicStatus,
    published: (path, head) => published.answer(path, head),
  }
  return new HttpServer({
    counters,
    upgrades: isDerpEnabled ? upgrades : undefined,
    accepts: makeAcceptBudget(data.accepts, limits),
    mayConnect: (ip) => gate.mayConnect(ip),
    idleTimeoutMs: tls === undefined ? PROXY_IDLE_TIMEOUT_MS : IDLE_TIMEOUT_MS,
    now,
    pageOf: (head, { ip }) => (pathOf(head) === REGIONS_PATH ? regions.page(head, ip) : pageOf(head, pages)),
    acceptor: async (host) => await acceptorOf(setup, host),
  })
}

/** @throws Error if the way that the setting demands does not work */
async function acceptorOf(setup: HttpSetup, host: AcceptorHost): Promise<Acceptor> {
  const { counters, data, scheduler, tls, ways } = setup
  const { connections, limits, pollIntervalMs, threadCount, tlsMaxVersion } = data.settings
  return await makeAcceptor({
    host,
    tls,
    counters,
    scheduler,
    keepAliveMs: limits.tcpKeepaliveMs,
    userTimeoutMs: limits.tcpUserTimeoutMs,
    // The control thread has loaded and tested them, so a failure here is one of the program.
    native: data.hasNative ? await loadNative() : undefined,
    threadCount,
    now,
    setting: connections,
    maxVersion: tlsMaxVersion,
    pollIntervalMs,
    ...ways,
  })
}

/** Undefined without a limit. @param memory which the threads share */
export function makeAcceptBudget(
  memory: SharedArrayBuffer,
  { acceptsPerSecond, acceptBurst }: Pick<RelayLimits, 'acceptsPerSecond' | 'acceptBurst'>,
): AcceptBudget | undefined {
  return Number.isFinite(acceptsPerSecond) && Number.isFinite(acceptBurst)
    ? new AcceptBudget(memory, acceptsPerSecond, acceptBurst)
    : undefined
}
