import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CountryTable } from '#fleet/country-table.ts'
import { ipToBytes } from '#protocol/ip-address.ts'

describe('the table of geoip-lite', async () => {
  const table = await CountryTable.load()
  const countryOf = (address: string): string | undefined => table.countryOf(ipToBytes(address))

  it.each([
    ['193.0.6.139', 'NL'],
    ['202.12.27.33', 'JP'],
    ['200.160.2.3', 'BR'],
    ['8.8.8.8', 'US'],
    ['2001:4860:4860::8888', 'US'],
    ['2001:200:dff:fff1:216:3eff:feb1:44d7', 'JP'],
  ])('knows the country of %s', (address, country) => {
    expect(countryOf(address)).toBe(country)
  })

  it.each(['127.0.0.1', '10.1.2.3', '192.168.1.1', '0.0.0.0', '255.255.255.255', '::1', 'fd00::1', ''])(
    'has no country for %s',
    (address) => {
      expect(countryOf(address)).toBe(undefined)
    },
  )

  it('agrees with geoip-lite itself', () => {
    const addresses = Array.from({ length: 200 }, (_, n) => `${1 + ((n * 37) % 223)}.${n}.${(n * 7) % 256}.1`)
    const script = `const geoip = require('geoip-lite'); console.log(JSON.stringify(${JSON.stringify(addresses)}.map((a) => geoip.lookup(a)?.country ?? '')))`
    const theirs = JSON.parse(
      execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }),
    ) as string[]
    const different = addresses.filter((address, n) => (countryOf(address) ?? '') !== theirs[n])
    // The tables of countries and of cities have other sources for a few networks.
    expect(different.length).toBeLessThanOrEqual(10)
    expect(theirs.filter((country) => country !== '').length).toBeGreaterThan(100)
  })

  it('needs the memory that docs/metrics.md says', () => {
    const script = `
      const { CountryTable } = await import('#fleet/country-table.ts')
      const before = process.memoryUsage.rss()
      const table = await CountryTable.load()
      console.log(JSON.stringify({ tableBytes: table.bytes, grownBytes: process.memoryUsage.rss() - before }))`
    const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script]
    const { tableBytes, grownBytes } = JSON.parse(
      execFileSync(process.execPath, args, { encoding: 'utf8' }),
    ) as {
      tableBytes: number
      grownBytes: number
    }
    console.info(
      `countries: table ${(tableBytes / 1e6).toFixed(1)} MB, process grown by ${(grownBytes / 1e6).toFixed(1)} MB`,
    )
    expect(tableBytes).toBeLessThan(16_000_000)
    expect(grownBytes).toBeLessThan(40_000_000)
  })
})

it('refuses tables of another form', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'countries-'))
  try {
    await expect(CountryTable.load(folder)).rejects.toThrow('ENOENT')
    for (const name of ['geoip-country.dat', 'geoip-country6.dat'])
      writeFileSync(join(folder, name), new Uint8Array(10_007))
    await expect(CountryTable.load(folder)).rejects.toThrow(
      'the country of 8.8.8.8 is undefined, expected US',
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
