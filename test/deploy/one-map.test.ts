// One file, one DERP map: what the command prints, what Terraform's module puts out, what the chart renders and notes, and what a
// running fleet of the file's relays serves are the same bytes, in every form of the map, for every regions file that the
// project shows.

import { readFile } from 'node:fs/promises'
import { request } from 'node:https'
import { text as textOf } from 'node:stream/consumers'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { Chart, EXAMPLES, examplePath, FLEET_FILE, objectOf } from '../chart/chart.ts'
import { derpfleet } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { Fleet } from '../support/fleet.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { Lab } from '../support/lab.ts'
import { canMakeNetworks } from '../support/network.ts'
import { runOk, waitUntil } from '../support/process.ts'
import { DEPLOY, TerraformFolder, terraformTools } from '../support/terraform.ts'

const TIMEOUT_MS = 120_000
const TERRAFORM_EXAMPLES = ['one-vm', 'three-regions-mixed', 'kubernetes', 'your-own-inventory'] as const

/** The regions files by the name of the example. */
const FILES: Readonly<Record<string, string>> = {
  'regions.yaml': FLEET_FILE,
  ...Object.fromEntries(
    TERRAFORM_EXAMPLES.map((name) => [name, join(DEPLOY, 'terraform/examples', name, 'regions.yaml')]),
  ),
}
const NAMES = Object.keys(FILES)

/** The forms: of `derpfleet map -format`; the module's outputs, the keys of the chart's ConfigMap and the relays' pages. */
const FORMS = [
  { format: 'json', output: 'derp_map', key: 'derpmap.json' },
  { format: 'headscale', output: 'headscale', key: 'derpmap.yaml' },
  { format: 'policy', output: 'policy', key: 'derpmap.policy' },
] as const

/** A text for each form, in that order. */
type Forms = readonly string[]

const ROOT = `
variable "fleets" {
  type = map(string)
}
module "fleet" {
  source       = "../modules/fleet"
  for_each     = var.fleets
  regions_yaml = each.value
}
output "fleets" {
  value = { for name, fleet in module.fleet : name => {
    derp_map = fleet.derp_map, headscale = fleet.headscale, policy = fleet.policy
  } }
}
`

async function printed(path: string): Promise<Forms> {
  const run = async (format: string): Promise<string> => {
    const { code, stdout, stderr } = await derpfleet([
      'map',
      '-regions-file',
      path,
      '-all',
      '-format',
      format,
    ])
    expect([code, stderr]).toEqual([0, ''])
    return stdout
  }
  return await Promise.all(FORMS.map(async ({ format }) => await run(format)))
}

async function regionsOf(path: string) {
  const read = readRegionsFile(path, await readFile(path, 'utf8'))
  if ('problems' in read) throw new Error(JSON.stringify(read.problems))
  return read.regions
}

describe.each(await terraformTools())('$name', (tool) => {
  it('puts out the maps that the command prints', { timeout: TIMEOUT_MS }, async () => {
    using folder = new TemporaryFolder()
    const terraform = await TerraformFolder.create(folder.path, tool)
    const texts = await Promise.all(
      NAMES.map(async (name) => [name, await readFile(FILES[name] ?? '', 'utf8')] as const),
    )
    const variables = JSON.stringify({ fleets: Object.fromEntries(texts) })
    const root = await terraform.writeRoot('maps', { 'main.tf': ROOT, 'terraform.tfvars.json': variables })
    await terraform.ok(root, 'init', '-no-color')
    await terraform.ok(root, 'apply', '-auto-approve', '-no-color')
    const made = JSON.parse(await terraform.ok(root, 'output', '-json', 'fleets')) as Record<
      string,
      Record<string, string>
    >
    for (const name of NAMES)
      expect([name, FORMS.map(({ output }) => made[name]?.[output])]).toEqual([
        name,
        await printed(FILES[name] ?? ''),
      ])
  })

  it('has the same in the example that needs no provider', { timeout: TIMEOUT_MS }, async () => {
    using folder = new TemporaryFolder()
    const terraform = await TerraformFolder.create(folder.path, tool)
    const root = 'examples/your-own-inventory'
    await terraform.ok(root, 'init', '-no-color')
    await terraform.ok(root, 'apply', '-auto-approve', '-no-color')
    const made = JSON.parse(await terraform.ok(root, 'output', '-json'))
    expect(FORMS.map(({ output }) => made[output].value)).toEqual(
      await printed(FILES['your-own-inventory'] ?? ''),
    )
  })
})

const helm = await foreignPrograms('helm')

describe.skipIf('missing' in helm)('the chart', () => {
  const chart = new Chart('paths' in helm ? helm.paths.helm : '')
  /** The least that a release needs beside its regions. Values that are rendered name a Secret with the mesh key. */
  const rendered = ['admission.open=true']
  const release = [...rendered, `mesh.key="${'1f'.repeat(32)}"`]

  interface Release {
    readonly values: readonly string[]
    readonly set?: readonly string[]
  }

  /** Its ConfigMap and its notes have these maps, and so do relays with the regions file that it gives them. */
  async function expectMaps(one: Release, maps: Forms, folder: TemporaryFolder): Promise<void> {
    const objects = await chart.objects({ ...one, showOnly: 'templates/map.yaml' })
    const { data } = objectOf(objects, 'ConfigMap')
    expect(FORMS.map(({ key }) => data?.[key])).toEqual(maps)
    const notes = await chart.notes(one)
    for (const map of maps) expect(notes).toContain(map.trimEnd())
    const settings = await chart.objects({ ...one, showOnly: 'templates/settings.yaml' })
    const given = folder.write('given.yaml', objectOf(settings, 'ConfigMap').data?.['regions.yaml'] ?? '')
    expect(await printed(given)).toEqual(maps)
  }

  it.each(NAMES)('has the maps of the command in a release of each region: %s', async (name) => {
    using folder = new TemporaryFolder()
    const path = FILES[name] ?? ''
    const maps = await printed(path)
    const { code } = await derpfleet(['render', 'helm', '-regions-file', path, '-o', folder.path])
    expect(code).toBe(0)
    for (const { id } of await regionsOf(path)) {
      await expectMaps({ values: [path], set: [...release, `region=${id}`] }, maps, folder)
      await expectMaps({ values: [folder.at(`values-${id}.yaml`)], set: rendered }, maps, folder)
    }
  })

  it.each(EXAMPLES)('has the maps of the command in the example %s', async (name) => {
    using folder = new TemporaryFolder()
    await expectMaps({ values: [FLEET_FILE, examplePath(name)] }, await printed(FLEET_FILE), folder)
  })
})

const isRoot = await canMakeNetworks()
if (!isRoot) process.stderr.write('SKIPPING the maps of running fleets: network namespaces require root\n')

interface Relay {
  readonly node: string
  readonly hostname: string
  readonly derpPort: number
  readonly stunPort: number
  /** The address that siblings dial, if it is not that of the name. */
  readonly mesh: string | undefined
}

/** Each relay once, as its first node that is no standby. */
async function relaysOf(path: string): Promise<readonly Relay[]> {
  const nodes = (await regionsOf(path)).flatMap((region) => region.nodes)
  return nodes
    .filter(({ isStandby }) => isStandby !== true)
    .map(({ name, hostname, derpPort = 443, stunPort = 3478, meshHost }) => ({
      node: name,
      hostname,
      derpPort,
      stunPort,
      mesh: meshHost,
    }))
}

describe.skipIf(!isRoot)('a running fleet', { timeout: TIMEOUT_MS }, () => {
  it.each(NAMES)('serves the maps of the command: %s', async (name) => {
    const path = FILES[name] ?? ''
    const relays = await relaysOf(path)
    await using lab = await Lab.make(...relays.map(({ hostname }) => hostname))
    await using fleet = await Fleet.make(await readFile(path, 'utf8'))
    for (const { hostname, mesh } of relays) if (mesh !== undefined) await addAddress(lab, hostname, mesh)
    const quick = ['-state-interval', '1s', '-map-removal', '1s', '-map-return', '1s', '-serve-map']
    await Promise.all(
      relays.map(async ({ node, hostname, derpPort, stunPort }) => {
        const host = lab.host(hostname)
        const ports = ['-stun-port', `${stunPort}`, '-http-port', '-1', '-threads', '1']
        await fleet.start({ host, hostname, node, at: `:${derpPort}` }, ...quick, ...ports)
      }),
    )
    const seen = async (hostname: string): Promise<number> =>
      await fleet.metric(lab.host(hostname), 'derp_fleet_relays{state="up"}')
    await waitUntil('every relay sees all others', async () => {
      const counts = await Promise.all(relays.map(async ({ hostname }) => await seen(hostname)))
      return counts.every((count) => count === relays.length)
    }).catch((error: unknown) => {
      throw new Error(fleet.logs, { cause: error })
    })
    const maps = await printed(path)
    for (const relay of relays) {
      const served = await Promise.all(
        FORMS.map(async ({ key }) => await page(lab.host(relay.hostname).address, relay, `/${key}`)),
      )
      expect([relay.node, served]).toEqual([relay.node, maps])
    }
  })
})

/** A further address of a host, to which all hosts have a way. */
async function addAddress(lab: Lab, hostname: string, address: string): Promise<void> {
  for (const { name, namespace } of lab.hosts) {
    const what = name === hostname ? ['addr', 'add', `${address}/32`] : ['route', 'add', `${address}/32`]
    await runOk('ip', ['-n', namespace, ...what, 'dev', 'eth0'])
  }
}

/** What a relay serves to everyone. Nobody has the key of the certificate that an example pins, so it is not verified here. */
async function page(address: string, { hostname, derpPort }: Relay, path: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const options = { host: address, port: derpPort, servername: hostname, path, rejectUnauthorized: false }
  request(options, (response) => void textOf(response).then(resolve, reject))
    .on('error', reject)
    .end()
  return await promise
}
