// The fleet's state in a running relay: tells siblings how this relay is, over the mesh and over the directory, takes what
// they tell, and writes to the log what changes. What follows from the messages is `#fleet/fleet-state.ts`. Runs on the
// control thread.
//
// Contract: of several runs of this relay, the newest alone tells the state; the last message of each says that it is
// the last.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Settings } from '#config/settings.ts'
import { awakeClock } from '#fleet/awake-clock.ts'
import type { ClientCountries } from '#fleet/client-countries.ts'
import { FleetState, type ListedRelay } from '#fleet/fleet-state.ts'
import type { StateCarrier } from '#fleet/relay-record.ts'
import {
  FAILING_MAX,
  shortReason,
  writeRelayState,
  type HealthState,
  type LinkState,
  type RelayCapacity,
  type RelayLoad,
  type RelayState,
} from '#fleet/relay-state.ts'
import type { SiblingReport } from '#mesh/sibling-report.ts'
import type { CertificateStatus } from '#ops/certificate-families.ts'
import type { DrainWatch } from '#ops/drain-watch.ts'
import type { LinkWatch, SiblingView } from '#ops/link-watch.ts'
import type { Log } from '#ops/log.ts'
import { packageVersion } from '#ops/version.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { FleetLinks } from './fleet-links.ts'
import { FleetLog } from './fleet-log.ts'
import type { Readiness } from './readiness.ts'
import type { RelayThreads } from './relay-threads.ts'
import type { Run } from './run.ts'
import type { Service } from './service.ts'

const LOOK_MS = 1_000
const EVERY_MS_MAX = 60_000
/** Each relay is told at most twenty states a second, however large the fleet is. */
const EVERY_MS_PER_RELAY = 50
/** From the last message to the end of the links: a turn of each thread, and a write. */
const LAST_MESSAGE_MS = 50
/** From the announcement of a drain to its begin: half a round trip to nearly any sibling. */
const ANNOUNCED_MS = 150

export interface FleetServiceParts {
  readonly settings: Settings
  readonly log: Log
  readonly instance: string
  readonly run: Pick<Run, 'number' | 'isNewest' | 'hasHandedOver'>
  readonly threads: Pick<RelayThreads, 'send'>
  readonly links: Pick<LinkWatch, 'siblings'>
  readonly drain: Pick<DrainWatch, 'isDraining' | 'numbers'>
  readonly readiness: () => Pick<Readiness, 'health'>
  /** Each undefined if this relay has none. */
  readonly mesh: { readonly relays: readonly ListedRelay[] } | undefined
  readonly directory: { readonly isConnected: boolean; tellState(state: Uint8Array): void } | undefined
  readonly certificates: { readonly status: CertificateStatus } | undefined
  readonly measured: MeasuredState
}

/** The part of the state that is measured elsewhere, at the moment of reading. */
export interface MeasuredState {
  /** What this relay could carry; undefined fields are not known. */
  readonly capacity: RelayCapacity
  readonly load: RelayLoad
  readonly clientCountries: ClientCountries
}

export class FleetService implements Service {
  readonly fleet: FleetState
  readonly #parts: FleetServiceParts
  readonly #links = new FleetLinks()
  readonly #log: FleetLog
  readonly #key: string
  #timer: NodeJS.Timeout | undefined = undefined
  #sequence = 0
  #toldMs = -Infinity
  /** The health that was told last, with the failing checks. */
  #told = ''
  #isOver = false

  constructor(parts: FleetServiceParts) {
    this.#parts = parts
    const now = (): number => performance.now()
    this.#key = publicKeyText(parts.settings.nodeKey.publicKey)
    this.fleet = new FleetState({ now: awakeClock(now), ownKey: this.#key })
    this.#log = new FleetLog(parts.log, this.fleet)
  }

  start(): void {
    this.#look()
    this.#timer = setInterval(() => this.#look(), LOOK_MS)
  }

  /** A sibling tells its state. */
  take(key: Uint8Array, state: Uint8Array, carrier: StateCarrier): void {
    const source = { key: publicKeyText(key), carrier }
    this.#log.taken(source, this.fleet.take(state, source))
  }

  /** Names of siblings that can be told something. */
  get linked(): readonly string[] {
    return [...this.#links.tellers.values()].flat()
  }

  /** Sends a message in the frame of a state to one sibling. Returns false without a link to it. */
  send(name: string, message: Uint8Array): boolean {
    const [thread] = [...this.#links.tellers].find(([, names]) => names.includes(name)) ?? []
    if (thread !== undefined)
      this.#parts.threads.send(thread, { kind: 'tellState', to: [name], state: message })
    return thread !== undefined
  }

  /** Dials siblings of these names that were not needed so far. */
  wake(names: readonly string[]): void {
    this.#parts.threads.send(0, { kind: 'wakeSiblings', names })
  }

  /** The links of a relay thread as they are now. */
  noteLinks(thread: number, links: readonly SiblingReport[]): void {
    const names = this.#links.note(thread, links)
    this.fleet.setLinks(this.#links.evidence)
    if (names.length > 0 && this.#timer !== undefined) this.#tell(new Set(names))
  }

  /** A relay thread has died, and its links with it. */
  threadEnded(thread: number): void {
    this.#links.forget(thread)
    this.fleet.setLinks(this.#links.evidence)
  }

  /** Tells siblings that this relay is about to drain. Resolves when they know. */
  async announceDrain(): Promise<void> {
    if (this.#timer !== undefined && this.#tell()) await sleep(ANNOUNCED_MS)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#timer = undefined
    if (!this.#isOver && this.#parts.run.isNewest && this.#tell(undefined, 'ended'))
      await sleep(LAST_MESSAGE_MS)
    this.#isOver = true
  }

  #look(): void {
    const { directory, run } = this.#parts
    this.fleet.setRelays(this.#relays)
    if (directory !== undefined) this.fleet.setDirectory(directory.isConnected)
    if (run.hasHandedOver && !this.#isOver) {
      this.#isOver = true
      this.#tell(undefined, 'handedOver')
    }
    const health = this.#health()
    const isChanged = this.#told !== `${health.state} ${health.checks.join(' ')}`
    if (isChanged || performance.now() - this.#toldMs >= this.#everyMs - LOOK_MS / 2) this.#tell()
    this.#log.look()
  }

  /** Options and DNS may list this relay itself, and one relay twice. A relay without a mesh is a fleet of its own. */
  get #relays(): readonly ListedRelay[] {
    const { mesh, settings } = this.#parts
    const { node } = settings.mesh
    if (mesh === undefined)
      return [{ name: settings.hostname, nodes: node === undefined ? [] : [node], isOwn: true }]
    const { otherNames } = this.#links
    return mesh.relays.filter(({ name, isOwn }) => isOwn || !otherNames.has(name))
  }

  get #everyMs(): number {
    const usual = EVERY_MS_PER_RELAY * this.#relays.length
    return Math.min(Math.max(this.#parts.settings.mesh.stateEveryMs, usual), EVERY_MS_MAX)
  }

  /**
   * @param only siblings of these names, and no directory; undefined: all
   * @param last the state of this message, after which none follows
   * @returns whether anybody was told
   */
  #tell(only?: ReadonlySet<string>, last?: HealthState): boolean {
    const { run, threads, directory } = this.#parts
    if (!run.isNewest && last === undefined) return false
    if (this.#isOver && last === undefined) return false
    const state = this.#state(last)
    this.fleet.takeOwn(state)
    const message = writeRelayState(state)
    let isTold = false
    for (const [thread, names] of this.#links.tellers) {
      const to = names.filter((name) => only?.has(name) ?? true)
      if (to.length > 0) threads.send(thread, { kind: 'tellState', to, state: message })
      isTold ||= to.length > 0
    }
    if (only !== undefined) return isTold
    this.#toldMs = performance.now()
    directory?.tellState(message)
    return isTold || directory !== undefined
  }

  #health(): {
    readonly state: HealthState
    readonly checks: readonly string[]
    readonly failing: readonly string[]
  } {
    const { isReady, checks } = this.#parts.readiness().health.report()
    const failing = checks.filter(({ isOk }) => !isOk)
    return {
      state: this.#parts.drain.isDraining ? 'draining' : isReady ? 'ready' : 'notReady',
      checks: failing.map(({ name }) => name),
      failing: failing.slice(0, FAILING_MAX).map(({ name, detail }) => shortReason(`${name}: ${detail}`)),
    }
  }

  #state(last: HealthState | undefined): RelayState {
    const { settings, instance, run, links, drain, certificates, measured } = this.#parts
    const { state, checks, failing } = this.#health()
    this.#told = `${state} ${checks.join(' ')}`
    const [certificate] = certificates?.status.certificates ?? []
    return {
      name: settings.hostname,
      nodes: this.#relays.find(({ isOwn }) => isOwn)?.nodes ?? [],
      key: this.#key,
      instance,
      run: run.number,
      sequence: ++this.#sequence,
      everyMs: this.#everyMs,
      version: packageVersion(),
      health: {
        state: last ?? state,
        failing,
        clientsLeft: drain.isDraining ? Math.max(0, drain.numbers().remaining) : undefined,
      },
      load: measured.load,
      capacity: measured.capacity,
      clients: measured.clientCountries,
      certificateNotAfterMs: certificate?.notAfterMs,
      links: links.siblings().map(linkState),
    }
  }
}

function linkState(sibling: SiblingView): LinkState {
  const { name, isUp, rttMs, rttMinMs, rttMedianMs, jitterMs, lossRatio, delayMs } = sibling
  return {
    to: name,
    isUp,
    rttMs: rttMs && rounded(rttMs),
    rttMinMs: rttMinMs && rounded(rttMinMs),
    rttMedianMs: rttMedianMs && rounded(rttMedianMs),
    jitterMs: rounded(jitterMs),
    lossRatio: rounded(lossRatio),
    queueDelayMs: rounded(delayMs),
  }
}

/** To a microsecond: more is noise, and makes messages longer. */
function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000
}
