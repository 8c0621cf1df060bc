// All checks of one relay, one after another so that none disturbs another's times: addresses, TCP and STUN over
// each family; TLS, logins, packets and pages over the first family that listens.

import type { SharedResources } from '#client/shared-resources.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { findPlaces, tryPlaces, type OpenPlace, type Place } from './addresses.ts'
import type { CertificateFacts } from './certificate-verdict.ts'
import { CheckList, type Check, type CheckName } from './check.ts'
import { checkPages } from './http-checks.ts'
import { BEHIND_LOGIN, checkLogins, type Approach } from './login-checks.ts'
import type { ProbeSettings } from './settings.ts'
import { checkStun, type SeenAs } from './stun-checks.ts'
import type { ProbeNode } from './target.ts'
import { checkTls, tlsOptionsFor, type Security } from './tls-checks.ts'

/** Where clients can log in to a relay, and how. */
export interface Meeting {
  readonly approach: Approach
  readonly place: OpenPlace
}

/** What was found of one relay; grows while it is probed. */
export interface NodeReport {
  readonly node: ProbeNode
  readonly checks: readonly Check[]
  readonly addresses: readonly string[]
  readonly seenAs: SeenAs
  /** `nodekey:` and 64 hex digits. */
  readonly serverKey: string | undefined
  readonly certificate: CertificateFacts | undefined
  /** For further checks between relays; undefined where nobody logs in. */
  readonly meeting: Meeting | undefined
  readonly isDone: boolean
}

/** What all relays' probes have in common. */
export interface ProbeRun {
  readonly settings: ProbeSettings
  readonly shared: SharedResources
  readonly authorities: readonly string[]
}

/** In the order in which the checks are made. */
const BEHIND_TLS: readonly CheckName[] = [
  'login',
  ...BEHIND_LOGIN,
  'latency-check',
  'browser-probe',
  'generate-204',
]
const BEHIND_TCP: readonly CheckName[] = ['tls', 'certificate', ...BEHIND_TLS]

export class NodeProbe implements NodeReport {
  readonly node: ProbeNode
  readonly #run: ProbeRun
  readonly #list: CheckList
  readonly #onChange: () => void
  addresses: readonly string[] = []
  seenAs: SeenAs = {}
  serverKey: string | undefined
  certificate: CertificateFacts | undefined
  meeting: Meeting | undefined
  isDone = false

  /** @param onChange told whenever there is more to report */
  constructor(node: ProbeNode, run: ProbeRun, onChange: () => void) {
    this.node = node
    this.#run = run
    this.#onChange = onChange
    this.#list = new CheckList(onChange)
  }

  get checks(): readonly Check[] {
    return this.#list.checks
  }

  /** Makes all checks; never rejects for what a relay does. */
  async run(): Promise<void> {
    const { settings } = this.#run
    const found = await findPlaces(this.node, settings, this.#list)
    this.addresses = found.flatMap((place) => ('address' in place ? [place.address] : []))
    if (this.addresses.length === 0) this.#list.skip(['tcp', 'stun', ...BEHIND_TCP], 'no address to try')
    else if (this.node.isStunOnly) await this.#checkStunOnly(found)
    else await this.#checkRelay(found)
    this.isDone = true
    this.#onChange()
  }

  async #checkStunOnly(places: readonly Place[]): Promise<void> {
    this.seenAs = await checkStun(this.node, places, this.#run.settings, this.#list)
    this.#list.skip(['tcp', ...BEHIND_TCP], 'not a relay: STUNOnly in the map')
  }

  async #checkRelay(found: readonly Place[]): Promise<void> {
    const { settings } = this.#run
    const { listening, places } = await tryPlaces(this.node, found, settings, this.#list)
    this.seenAs = await checkStun(this.node, places, settings, this.#list)
    const [first, ...others] = listening
    if (first === undefined) return this.#list.skip(BEHIND_TCP, 'no TCP connection')
    const security = await this.#secure(first)
    if (security === undefined) return this.#list.skip(['certificate', ...BEHIND_TLS], 'no TLS connection')
    this.certificate = security.certificate
    const approach: Approach = { node: this.node, settings, security, shared: this.#run.shared }
    const serverKey = await checkLogins(approach, [first, ...others], this.#list)
    if (serverKey !== undefined) this.serverKey = publicKeyText(serverKey)
    const isMet = this.checks.some(({ name, status }) => name === 'login' && status === 'ok')
    if (isMet) this.meeting = { approach, place: first }
    await checkPages(approach, first, this.#list)
  }

  async #secure(place: OpenPlace): Promise<Security | undefined> {
    const { settings, shared, authorities } = this.#run
    if (!this.node.isPlain) {
      const tls = tlsOptionsFor(this.node, authorities)
      return checkTls(this.node, place, tls, { settings, checks: this.#list, shared })
    }
    const reason = 'plain TCP, as the target says http'
    this.#list.skip(['tls', 'certificate'], reason)
    // Whoever writes http has decided what may be told over it.
    return { tls: false, isTrusted: true, metaKey: undefined, noMetaReason: reason, certificate: undefined }
  }
}
