// The country of an IP address, by the country tables of the package geoip-lite: sorted records of first address, last address
// and two letters. They are read as they are, because geoip-lite itself loads its tables of cities as well, ten times the
// memory, and blocks its thread meanwhile. No I/O after `load`, and nothing is kept of an address. Runs on the control thread.
//
// Contract: a package whose tables have another form is refused by `load`, by looking up addresses that are known.

import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { ipToBytes, isMappedIpv4, IP_BYTES } from '#protocol/ip-address.ts'

/** Where an IPv4 address begins in its mapped form. */
const IPV4_AT = 12
const LETTERS = 2

/** Addresses that have not moved for a decade: operators of public DNS servers. */
const KNOWN: readonly (readonly [address: string, country: string])[] = [
  ['8.8.8.8', 'US'],
  ['2001:4860:4860::8888', 'US'],
]

export class CountryTable {
  readonly #ipv4: Buffer
  readonly #ipv6: Buffer

  private constructor(ipv4: Buffer, ipv6: Buffer) {
    this.#ipv4 = ipv4
    this.#ipv6 = ipv6
  }

  /** @throws Error if the package is not installed, or its tables are not those that are known here */
  static async load(folder: string = packageData()): Promise<CountryTable> {
    const [ipv4, ipv6] = await Promise.all([
      readFile(join(folder, 'geoip-country.dat')),
      readFile(join(folder, 'geoip-country6.dat')),
    ])
    const table = new CountryTable(ipv4, ipv6)
    for (const [address, country] of KNOWN) {
      const found = table.countryOf(ipToBytes(address))
      if (found !== country)
        throw new Error(`geoip-lite: the country of ${address} is ${found}, expected ${country}`)
    }
    return table
  }

  /** Memory of the tables. */
  get bytes(): number {
    return this.#ipv4.length + this.#ipv6.length
  }

  /** Two capital letters (ISO 3166); undefined if the table has no country for these sixteen bytes. */
  countryOf(ip: Uint8Array): string | undefined {
    const country = isMappedIpv4(ip)
      ? find(this.#ipv4, ip.subarray(IPV4_AT))
      : find(this.#ipv6, ip.subarray(0, IP_BYTES))
    return country !== undefined && /^[A-Z]{2}$/.test(country) ? country : undefined
  }
}

/** The letters of the record whose range has the address. */
function find(table: Buffer, address: Uint8Array): string | undefined {
  const bytes = address.length
  const recordBytes = 2 * bytes + LETTERS
  let low = 0
  let high = Math.floor(table.length / recordBytes) - 1
  while (low <= high) {
    const middle = (low + high) >> 1
    const at = middle * recordBytes
    if (order(address, table, at) < 0) high = middle - 1
    else if (order(address, table, at + bytes) > 0) low = middle + 1
    else return table.toString('latin1', at + 2 * bytes, at + recordBytes)
  }
  return undefined
}

/** Below zero if the address is smaller than the one at that place. Calls of Buffer's own comparison would take ten times as long. */
function order(address: Uint8Array, table: Buffer, at: number): number {
  for (let i = 0; i < address.length; i++) {
    const difference = (address[i] as number) - (table[at + i] as number)
    if (difference !== 0) return difference
  }
  return 0
}

/** @throws Error if the package is not installed */
function packageData(): string {
  return join(createRequire(import.meta.url).resolve('geoip-lite/package.json'), '..', 'data')
}
