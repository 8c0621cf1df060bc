// All checks of one relay. They run one after another, so that none disturbs the times of another: addresses, TCP and
// STUN over each family; TLS, logins, packets and pages over the first family with a TCP connection.

import type { SharedResources } from '#client/shared-resources.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { checkTcp, findAddresses, type AddressResult, type ReachableAddress } from './addresses.ts'
import type { CertificateFacts } from './certificate-verdict.ts'
import { CheckList, type Check, type CheckName } from './check.ts'
import { checkPages } from './http-checks.ts'
import { CHECKS_AFTER_LOGIN, checkLogins } from './login-checks.ts'
import type { ProbedNode } from './probed-node.ts'
import type { LoginPoint, RelayAccess } from './relay-access.ts'
import type { ProbeSettings } from './settings.ts'
import { checkStun, type SeenAddresses } from './stun-checks.ts'
import { checkTls, trustFor, type TlsResult } from './tls-checks.ts'

/** What was found about one relay. Grows while the relay is probed. */
export interface NodeReport {
  readonly node: ProbedNode
  readonly checks: readonly Check[]
  readonly addresses: readonly string[]
  readonly seenAs: SeenAddresses
  /** `nodekey:` and 64 hex digits. */
  readonly serverKey: string | undefined
  readonly certificate: CertificateFacts | undefined
  /** For the checks between relays; undefined if no client could log in. */
  readonly loginPoint: LoginPoint | undefined
  readonly isDone: boolean
}

/** What the probes of all relays share. */
export interface ProbeContext {
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
  readonly node: ProbedNode
  readonly #context: ProbeContext
  readonly #list: CheckList
  readonly #onChange: () => void
  addresses: readonly string[] = []
  seenAs: SeenAddresses = {}
  serverKey: string | undefined
  certificate: CertificateFacts | undefined
  loginPoint: LoginPoint | undefined
  isDone = false

  /** @param onChange called whenever the report has grown */
  constructor(node: ProbedNode, context: ProbeContext, onChange: () => void) {
    this.node = node
    this.#context = context
    this.#onChange = onChange
    this.#list = new CheckList(onChange)
  }

  get checks(): readonly Check[] {
    return this.#list.checks
  }

  /** Makes all checks. Never rejects because of the relay's behaviour. */
  async run(): Promise<void> {
    const { settings } = this.#context
    const found = await findAddresses(this.node, settings, this.#list)
    this.addresses = found.flatMap((result) => ('address' in result ? [result.address] : []))
    if (this.addresses.length === 0)
      this.#list.skip(['tcp', 'stun', ...CHECKS_AFTER_TCP], 'no address to try')
    else if (this.node.isStunOnly) await this.#checkStunOnly(found)
    else await this.#checkRelay(found)
    this.isDone = true
    this.#onChange()
  }

  async #checkStunOnly(addresses: readonly AddressResult[]): Promise<void> {
    this.seenAs = await checkStun(this.node, addresses, this.#context.settings, this.#list)
    this.#list.skip(['tcp', ...CHECKS_AFTER_TCP], 'not a relay: STUNOnly in the map')
  }

  async #checkRelay(found: readonly AddressResult[]): Promise<void> {
    const { settings, shared } = this.#context
    const { listening, addresses } = await checkTcp(this.node, found, settings, this.#list)
    this.seenAs = await checkStun(this.node, addresses, settings, this.#list)
    const [first, ...others] = listening
    if (first === undefined) return this.#list.skip(CHECKS_AFTER_TCP, 'no TCP connection')
    const tls = await this.#checkTls(first)
    if (tls === undefined) return this.#list.skip(['certificate', ...CHECKS_AFTER_TLS], 'no TLS connection')
    this.certificate = tls.certificate
    const access: RelayAccess = { node: this.node, settings, tls, shared }
    const serverKey = await checkLogins(access, [first, ...others], this.#list)
    if (serverKey !== undefined) this.serverKey = publicKeyText(serverKey)
    const isLoggedIn = this.checks.some(({ name, status }) => name === 'login' && status === 'ok')
    if (isLoggedIn) this.loginPoint = { access, address: first }
    await checkPages(access, first, this.#list)
  }

  async #checkTls(target: ReachableAddress): Promise<TlsResult | undefined> {
    const { settings, shared, authorities } = this.#context
    if (!this.node.isPlain) {
      const trust = trustFor(this.node, authorities)
      return checkTls(this.node, target, trust, { settings, checks: this.#list, shared })
    }
    this.#list.skip(['tls', 'certificate'], 'plain TCP (http:// target)')
    // With http:// on the command line, the user has decided to send secrets over plain TCP.
    return {
      trust: false,
      maySendSecret: true,
      metaKey: undefined,
      noMetaReason: 'no meta certificate without TLS',
      certificate: undefined,
    }
  }
}
