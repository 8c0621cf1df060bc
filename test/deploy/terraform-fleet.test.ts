// The module `fleet` and the program make the same of the same file, byte for byte: map, settings, DNS, mesh. They refuse the
// same files, for the same reasons.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { stringify } from 'yaml'
import { OPTIONS } from '#config/options.ts'
import { isInFile, type Option } from '#config/option.ts'
import { fleetPlan } from '#fleet/fleet-plan.ts'
import { problemText } from '#fleet/problem.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { derpfleet } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { fileContents } from '../fleet/fleet-arbitraries.ts'
import { DEPLOY, TerraformFolder, terraformTools } from '../support/terraform.ts'

const SETTINGS = {
  'verify-client-url': 'https://c.example/verify?a=<1>&b=\\u0026',
  threads: 2,
  'serve-map': true,
  home: 'https://Zu\u0308rich.example',
  'bootstrap-dns-names': ['a.example', 'b.example'],
}
const FLEETS = 60

const ROOT = {
  'main.tf': `
variable "fleets" {
  type = map(string)
}
variable "settings" {
  type    = any
  default = {}
}
module "fleet" {
  source       = "../modules/fleet"
  for_each     = var.fleets
  regions_yaml = each.value
  settings     = var.settings
}
output "fleets" {
  value = {
    for name, fleet in module.fleet : name => {
      derp_map = fleet.derp_map, headscale = fleet.headscale, policy = fleet.policy
      nodes = fleet.nodes, dns = fleet.dns, mesh = fleet.mesh
    }
  }
}
`,
}

/** Terraform reads YAML 1.1, so words such as \`no\` are in quotes. */
function generated(): Record<string, string> {
  const samples = fc.sample(fileContents, { numRuns: FLEETS, seed: 1 })
  const texts = samples.map((contents) =>
    stringify(
      { regions: Object.fromEntries(contents.map((one) => [one.id, one.region])) },
      { version: '1.1' },
    ),
  )
  return Object.fromEntries(texts.map((text, at) => [`generated ${at}`, text]))
}

const OWN: Record<string, string> = {
  'words and numbers': `regions:
  906: { code: sat, name: '${'🛰'.repeat(100)}', nodes: [{ name: 906a, hostname: h }] }
  905: { code: "no", name: "no", state: off, nodes: [{ name: 905, hostname: derp5.example.com }] }
  900:
    code: 123
    name: '<a> & "b" \\u003c \\\\ é Zu\u0308rich 東京 🛰'
    latitude: 1.00005
    longitude: -1.00005
    state: draining
    preferWithinMs: 0
    nodes:
      - { name: s, hostname: Derp1.Example.com, standby: true }
      - { name: 1.5, hostname: derp1.example.com, stunport: 0, derpport: 443, ipv4: none, ipv6: none }
      - { name: two, hostname: derp1.example.com, derpport: 8443, stunport: 3478, canport80: false }
      - { name: three, hostname: derp1.example.com, mesh: 10.0.0.1, certname: other.example, canport80: true }
      - { name: four, hostname: "2001:db8::4", ipv6: "2001:db8::4", pin: "${'AB:'.repeat(31)}cd" }
`,
}

async function examples(): Promise<Record<string, string>> {
  const names = ['one-vm', 'three-regions-mixed', 'kubernetes', 'your-own-inventory']
  const paths = [
    join(DEPLOY, '../regions.yaml'),
    ...names.map((name) => join(DEPLOY, 'terraform/examples', name, 'regions.yaml')),
  ]
  return Object.fromEntries(
    await Promise.all(paths.map(async (path) => [path, await readFile(path, 'utf8')])),
  )
}

function planned(text: string): unknown {
  const read = readRegionsFile('regions.yaml', text)
  if ('problems' in read) throw new Error(JSON.stringify(read.problems))
  const [file] = fleetPlan('terraform', { regions: read.regions, common: SETTINGS, node: undefined }) ?? []
  return JSON.parse(file?.text ?? '').fleet
}

const NODES = 'nodes: [{ name: a, hostname: h }]'

/** The content of region 900 in files with a mistake, or with the fields of its relay that are one. */
const REGION_MISTAKES = [
  `code: "a b", ${NODES}`,
  `code: 7.5e3x, name: 7, ${NODES}`,
  `code: a, name: "a\\tb", ${NODES}`,
  `code: a, name: "", ${NODES}`,
  `code: a, name: "${'é'.repeat(101)}", ${NODES}`,
  `code: a, name: "${'🛰'.repeat(101)}", ${NODES}`,
  `code: a, latitude: 91, ${NODES}`,
  `code: a, longitude: east, ${NODES}`,
  `code: a, state: down, ${NODES}`,
  `code: a, preferWithinMs: 1.5, ${NODES}`,
  `code: a, preferWithinMs: 1001, ${NODES}`,
  'code: a, nodes: []',
  'code: a',
  NODES,
  `code: a, stat: off, ${NODES}`,
  'code: a, nodes: [{ name: a }]',
  'code: a, nodes: [{ hostname: h }, { name: "a b", hostname: h }]',
  ...[
    'port: 1',
    'ipv4: 192.0.2.256',
    'ipv6: 192.0.2.1',
    'ipv6: "2001:db8::g"',
    'derpport: 0',
    'derpport: 65536',
    'stunport: -2',
    'stunport: "3478"',
    'canport80: 1',
    'certname: "sha256-raw:AB"',
    'pin: abc',
    `certname: x, pin: ${'ab'.repeat(32)}`,
    'mesh: "a b"',
    'standby: "true"',
  ].map((fields) => `code: a, nodes: [{ name: a, hostname: h, ${fields} }]`),
]

/** Files with mistakes. */
const MISTAKES: readonly string[] = [
  '{}',
  'regions: {}',
  'region: {}',
  'regions: 7',
  ...REGION_MISTAKES.map((region) => `regions: { 900: { ${region} } }`),
  `regions: { nyc: { code: a, ${NODES} } }`,
  `regions: { 70000: { code: a, ${NODES} } }`,
  `regions: { "0900": { code: a, ${NODES} }, 900: { code: b, nodes: [{ name: b, hostname: h }] } }`,
  `regions: { 900: { code: a, ${NODES} }, 901: { code: b, ${NODES} } }`,
  `regions: { 900: { code: a, state: "off", ${NODES} } }`,
  'regions: { 900: 7 }',
  'regions: { 900: { code: a, nodes: [7] } }',
]

const IN_QUOTES = 'in quotes if it is a word that YAML takes for a truth value'

/** Files that mean one thing in YAML 1.2, which the program reads, and another in Terraform's YAML. */
const AMBIGUOUS: readonly (readonly [string, string])[] = [
  [
    `regions: { 900: { code: no, ${NODES} } }`,
    `regions.900.code: invalid value false; expected a short name such as fra, of letters, digits, dots and hyphens, ${IN_QUOTES}`,
  ],
  [
    'regions: { 900: { code: a, nodes: [{ name: a, hostname: h, standby: yes }] } }',
    'regions_yaml: invalid value "yes" of canport80 or standby; expected true or false',
  ],
  [
    `regions: { 900: { code: a, state: no, ${NODES} }, 901: { code: b, nodes: [{ name: b, hostname: h }] } }`,
    'regions_yaml: invalid value "no" of state; expected active, draining or off',
  ],
]

/** Each cuts long values in its own way. */
function withoutLongText(problem: string): string {
  return problem.replace(/invalid value "[^]{70,}; expected/, 'invalid value …; expected')
}

/** What the module finds in a file. The problems are not an output: outputs refuse the file. */
async function problemsOf(terraform: TerraformFolder, text: string): Promise<readonly string[]> {
  const root = await terraform.writeRoot('modules/fleet', {
    'problems.tfvars.json': JSON.stringify({ regions_yaml: text }),
  })
  const { stdout } = await terraform.run(
    root,
    ['console', '-var-file=problems.tfvars.json'],
    'jsonencode(local.problems)\n',
  )
  const [value = ''] = /^"\[.*\]"/m.exec(stdout) ?? []
  return JSON.parse(JSON.parse(value))
}

describe.each(await terraformTools())('$name', (tool) => {
  it('makes of any file what the program makes of it', { timeout: 300_000 }, async () => {
    using folder = new TemporaryFolder()
    const terraform = await TerraformFolder.create(folder.path, tool)
    const fleets = { ...generated(), ...OWN, ...(await examples()) }
    const root = await terraform.writeRoot('same', {
      ...ROOT,
      'terraform.tfvars.json': JSON.stringify({ fleets, settings: SETTINGS }),
    })
    await terraform.ok(root, 'init', '-no-color')
    await terraform.ok(root, 'apply', '-auto-approve', '-no-color')
    const made = JSON.parse(await terraform.ok(root, 'output', '-json', 'fleets'))
    for (const [name, text] of Object.entries(fleets))
      expect([name, made[name]]).toEqual([name, planned(text)])
    const path = folder.write('regions.yaml', OWN['words and numbers'] ?? '')
    for (const [format, output] of [
      ['json', 'derp_map'],
      ['headscale', 'headscale'],
      ['policy', 'policy'],
    ] as const) {
      const { stdout } = await derpfleet(['map', '-regions-file', path, '-all', '-format', format])
      expect(made['words and numbers'][output]).toBe(stdout)
    }
  })

  it('refuses what the program refuses, for the same reasons', { timeout: 300_000 }, async () => {
    using folder = new TemporaryFolder()
    const terraform = await TerraformFolder.create(folder.path, tool)
    await terraform.ok('modules/fleet', 'init', '-no-color')
    for (const text of MISTAKES) {
      const read = readRegionsFile('r.yaml', text)
      const problems = 'problems' in read ? read.problems : []
      const said = problems.map((one) => withoutLongText(problemText(one).replace(/^r\.yaml:\d+:\d+: /, '')))
      const found = await problemsOf(terraform, text)
      expect([text, found.map(withoutLongText)]).toEqual([text, said])
      expect(said).not.toEqual([])
    }
    for (const [text, problem] of AMBIGUOUS) expect(await problemsOf(terraform, text)).toEqual([problem])
  })

  it(
    'refuses settings that no relay reads, and those that the file decides',
    { timeout: 60_000 },
    async () => {
      using folder = new TemporaryFolder()
      const terraform = await TerraformFolder.create(folder.path, tool)
      const fleets = { one: 'regions: { 900: { code: a, nodes: [{ name: a, hostname: h }] } }' }
      const settings = { 'verify-client-ulr': 'x', hostname: 'h', threads: { a: 1 } }
      const root = await terraform.writeRoot('settings', {
        ...ROOT,
        'terraform.tfvars.json': JSON.stringify({ fleets, settings }),
      })
      await terraform.ok(root, 'init', '-no-color')
      const { stdout } = await terraform.run(root, ['plan', '-json'])
      expect(stdout).toContain(
        'settings.verify-client-ulr: unknown option; expected one in docs/configuration.md',
      )
      expect(stdout).toContain("settings.hostname: is each relay's own; expected the value in regions.yaml")
      expect(stdout).toContain(
        'settings.threads: invalid value; expected a text, a number, a truth value or a list of them',
      )
    },
  )
})

it('the module knows the options that a settings file may have', async () => {
  const text = await readFile(join(DEPLOY, 'terraform/modules/fleet/options.tf'), 'utf8')
  const names = Object.entries<Option>(OPTIONS).flatMap(([name, option]) => (isInFile(option) ? [name] : []))
  expect([...text.matchAll(/^ {4}"(.*)",$/gm)].map(([, name]) => name)).toEqual(names.toSorted())
})
