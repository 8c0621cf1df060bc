// How keys and addresses of clients appear in the log and on pages: in full, shortened, hashed or not at all, as the operator sets
// it (docs/privacy.md). Not for relays of the fleet, whose keys and addresses are public. Runs on the control thread.
//
// Contract: a hash is the same for the same key or address during one run of the relay, and nobody who has the log alone can find
// the key or the address by trying all of them.

import { createHmac, randomBytes } from 'node:crypto'
import type { IdentityForm, ShownForms } from '#config/settings.ts'
import { isZero } from '#protocol/bytes.ts'
import { ipToText, isMappedIpv4 } from '#protocol/ip-address.ts'
import { publicKeyText, shortKey } from '#protocol/node-key.ts'
import type { RemoteAddress } from '#relay/ports.ts'
import { remoteText } from '#transport/remote-address.ts'

/** Of a hash: enough to tell a hundred thousand clients apart. */
const HASH_DIGITS = 12
/** What is left of an address in its short form: the network that a provider gives to a site, or to several. */
const IPV4_BYTES_SHOWN = 15
const IPV6_BYTES_SHOWN = 6

export class ShownIdentity {
  readonly #secret = randomBytes(32)
  #forms: ShownForms

  constructor(forms: ShownForms) {
    this.#forms = forms
  }

  use(forms: ShownForms): void {
    this.#forms = forms
  }

  /** Whoever asks for whole keys may have them, if what is shown otherwise is their beginning. */
  get areKeysWhole(): boolean {
    return this.#forms.keys === 'full' || this.#forms.keys === 'short'
  }

  get areAddressesWhole(): boolean {
    return this.#forms.addresses === 'full'
  }

  /** Undefined: it is not shown. */
  key(key: Uint8Array): string | undefined {
    return this.#shown(
      this.#forms.keys,
      key,
      () => publicKeyText(key),
      () => shortKey(key),
    )
  }

  /** With the port in full only. Undefined: it is not shown. */
  remote(remote: RemoteAddress): string | undefined {
    return this.#shown(
      this.#forms.addresses,
      remote.ip,
      () => remoteText(remote),
      () => networkText(remote.ip),
    )
  }

  #shown(form: IdentityForm, bytes: Uint8Array, full: () => string, short: () => string): string | undefined {
    switch (form) {
      case 'full':
        return full()
      case 'short':
        return short()
      case 'hashed':
        return `#${createHmac('sha256', this.#secret).update(bytes).digest('hex').slice(0, HASH_DIGITS)}`
      case 'none':
        return undefined
    }
  }
}

/** `203.0.113.0/24` or `2001:db8:7::/48`; empty if the address is unknown. */
function networkText(ip: Uint8Array): string {
  if (isZero(ip)) return ''
  const isIpv4 = isMappedIpv4(ip)
  const network = Uint8Array.from(ip).fill(0, isIpv4 ? IPV4_BYTES_SHOWN : IPV6_BYTES_SHOWN)
  return `${ipToText(network)}/${isIpv4 ? 24 : 48}`
}
