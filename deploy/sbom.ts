// Completes the bill of materials that `npm sbom` prints (CycloneDX), read from standard input: it has the same bytes for the
// same packages, and names Node.js itself, which npm knows only as a package that scanners do not know.
//
//   npm sbom --sbom-format=cyclonedx | SOURCE_DATE_EPOCH=SECONDS node deploy/sbom.ts >sbom.cdx.json

import { readFileSync } from 'node:fs'

interface Component {
  readonly 'bom-ref': string
  readonly type: string
  readonly name: string
  readonly version: string
}

interface Bill {
  serialNumber?: string
  readonly metadata: { timestamp: string; readonly component: Component & { name: string } }
  readonly components: Component[]
  readonly dependencies: { readonly ref: string; readonly dependsOn: string[] }[]
}

const NODE_PACKAGE = /^node-linux-/

/** @param seconds the Unix time that it is to have */
function completed(bill: Bill, seconds: number): Bill {
  // A random number, the time of the build, and the name of its folder.
  delete bill.serialNumber
  bill.metadata.timestamp = new Date(seconds * 1_000).toISOString()
  bill.metadata.component.name = 'derpfleet'
  for (const { version, 'bom-ref': holder } of bill.components.filter(({ name }) =>
    NODE_PACKAGE.test(name),
  )) {
    const ref = `node@${version}`
    bill.components.push(nodeComponent(ref, version))
    bill.dependencies.find((one) => one.ref === holder)?.dependsOn.push(ref)
    bill.dependencies.push({ ref, dependsOn: [] })
  }
  return bill
}

/** By the names under which vulnerabilities of Node.js are published. */
function nodeComponent(ref: string, version: string): Component {
  const known = {
    cpe: `cpe:2.3:a:nodejs:node.js:${version}:*:*:*:*:*:*:*`,
    purl: `pkg:generic/node@${version}`,
  }
  return { 'bom-ref': ref, type: 'platform', name: 'node', version, ...known }
}

const bill = JSON.parse(readFileSync(process.stdin.fd, 'utf8')) as Bill
process.stdout.write(
  `${JSON.stringify(completed(bill, Number(process.env['SOURCE_DATE_EPOCH'])), undefined, 2)}\n`,
)
