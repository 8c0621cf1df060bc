// The countries of addresses, for metrics: loads the table when the first address is asked for, and does without it if it is
// switched off or does not load. Runs on the control thread.

import { CountryTable } from '#fleet/country-table.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { bytesEqual } from '#protocol/bytes.ts'
import { IP_BYTES, ipToBytes, isMappedIpv4 } from '#protocol/ip-address.ts'

const IPV6_LOOPBACK = ipToBytes('::1')

export class CountryLookup {
  readonly #log: Log
  /** Undefined until the table is loaded, and where there is none. */
  #table: CountryTable | undefined = undefined
  #isToBeLoaded: boolean

  constructor(isOn: boolean, log: Log) {
    this.#isToBeLoaded = isOn
    this.#log = log
  }

  /** Whether countries are known now. */
  get isReady(): boolean {
    return this.#table !== undefined
  }

  /**
   * Loads the table if one of these addresses may be in it, unless it is there or switched off.
   *
   * @param ips sixteen bytes of each
   */
  async loadFor(ips: Uint8Array): Promise<void> {
    if (!this.#isToBeLoaded || !hasRemote(ips)) return
    this.#isToBeLoaded = false
    try {
      this.#table = await CountryTable.load()
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      this.#log.warn(LogEvent.countriesUnknown, { reason: text.split('\n')[0] ?? '' })
    }
  }

  /** @param ip sixteen bytes, which are not kept */
  countryOf(ip: Uint8Array): string | undefined {
    return this.#table?.countryOf(ip)
  }
}

/** Whether one of the addresses is not of this host: a relay asks its own STUN, for example. */
function hasRemote(ips: Uint8Array): boolean {
  for (let at = 0; at < ips.length; at += IP_BYTES) {
    const ip = ips.subarray(at, at + IP_BYTES)
    const isLoopback = isMappedIpv4(ip) ? ip[12] === 127 : bytesEqual(ip, IPV6_LOOPBACK)
    if (!isLoopback) return true
  }
  return false
}
