// All checks of one relay, one after another so that none disturbs another's times: addresses, TCP and STUN over
// each family; TLS, logins, packets and pages over the first family that listens.

import type { SharedResources } from '#client/shared-resources.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { findAddresses, checkTcp, type ReachableAddress, type AddressResult } from './addresses.ts'
import type { CertificateFacts } from './certificate-verdict.ts'
import { CheckList, type Check, type CheckName } from './check.ts'
import { checkPages } from './http-checks.ts'
import { CHECKS_AFTER_LOGIN, checkLogins, type RelayAccess } from './login-checks.ts'
import type { ProbeSettings } from '#cli/probe-options.ts'
import { checkStun, type SeenAddresses } from './stun-checks.ts'
import type { ProbeNode } from './target.ts'
import { checkTls, tlsOptionsFor, type TlsResult } from './tls-checks.ts'

/** Where clients can log in to a relay, and how. */
export interface LoginPoint {
  readonly access: RelayAccess
  readonly place: ReachableAddress
}

/** What was found of one relay; grows while it is probed. */
export interface NodeReport {
  readonly node: ProbeNode
  readonly checks: readonly Check[]
  readonly addresses: readonly string[]
  readonly seenAs: SeenAddresses
  /** `nodekey:` and 64 hex digits. */
  readonly serverKey: string | undefined
  readonly certificate: CertificateFacts | undefined
  /** For further checks between relays; undefined where nobody logs in. */
  readonly loginPoint: LoginPoint | undefined
  readonly isDone: boolean
}

/** What all relays' probes have in common. */
export interface ProbeRun {
  readonly settings: ProbeSettings
  readonly shared: SharedResources
  readonly authorities: readonly string[]
}

/** In the order in which the checks are made. */
const CHECKS_AFTER_TLS: readonly CheckName[] = [
  'login',
  ...CHECKS_AFTER_LOGIN,
  'latency-check',
  'browser-probe',
  'generate-204',
]
const CHECKS_AFTER_TCP: readonly CheckName[] = ['tls', 'certificate', ...CHECKS_AFTER_TLS]

export class NodeProbe implements NodeReport {
  readonly node: ProbeNode
  readonly #run: ProbeRun
  readonly #list: CheckList
  readonly #onChange: () => void
  addresses: readonly string[] = []
  seenAs: SeenAddresses = {}
  serverKey: string | undefined
  certificate: CertificateFacts | undefined
  loginPoint: LoginPoint | undefined
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
    const found = await findAddresses(this.node, settings, this.#list)
    this.addresses = found.flatMap((place) => ('address' in place ? [place.address] : []))
    if (this.addresses.length === 0) this.#list.skip(['tcp', 'stun', ...CHECKS_AFTER_TCP], 'no address to try')
    else if (this.node.isStunOnly) await this.#checkStunOnly(found)
    else await this.#checkRelay(found)
    this.isDone = true
    this.#onChange()
  }

  async #checkStunOnly(places: readonly AddressResult[]): Promise<void> {
    this.seenAs = await checkStun(this.node, places, this.#run.settings, this.#list)
    this.#list.skip(['tcp', ...CHECKS_AFTER_TCP], 'not a relay: STUNOnly in the map')
  }

  async #checkRelay(found: readonly AddressResult[]): Promise<void> {
    const { settings } = this.#run
    const { listening, places } = await checkTcp(this.node, found, settings, this.#list)
    this.seenAs = await checkStun(this.node, places, settings, this.#list)
    const [first, ...others] = listening
    if (first === undefined) return this.#list.skip(CHECKS_AFTER_TCP, 'no TCP connection')
    const tlsResult = await this.#secure(first)
    if (tlsResult === undefined) return this.#list.skip(['certificate', ...CHECKS_AFTER_TLS], 'no TLS connection')
    this.certificate = tlsResult.certificate
    const access: RelayAccess = { node: this.node, settings, tlsResult, shared: this.#run.shared }
    const serverKey = await checkLogins(access, [first, ...others], this.#list)
    if (serverKey !== undefined) this.serverKey = publicKeyText(serverKey)
    const isMet = this.checks.some(({ name, status }) => name === 'login' && status === 'ok')
    if (isMet) this.loginPoint = { access, place: first }
    await checkPages(access, first, this.#list)
  }

  async #secure(place: ReachableAddress): Promise<TlsResult | undefined> {
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
