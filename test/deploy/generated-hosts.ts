// The files of a fleet's hosts, made from its regions file by what the product has for it: `derpfleet render systemd`, and the
// Terraform modules of the example with three regions, whose user data cloud-init writes to the host's disk.

import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { derpfleet } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { DEPLOY, TerraformFolder, terraformTools } from '../support/terraform.ts'
import type { HostFile } from '../support/unit-host.ts'

export const EXAMPLE = join(DEPLOY, 'terraform/examples/three-regions-mixed')

/** Options of serve for all relays. */
export type Settings = Readonly<Record<string, string | boolean>>

export interface FleetRequest {
  readonly regions: string
  readonly settings: Settings
  readonly meshKey: string
  /** Where hosts fetch the regions file. */
  readonly regionsUrl: string
}

/** One way from the fleet's file to the files of its hosts. */
export interface HostMaker {
  readonly name: string
  /** Whether hosts follow the file by themselves. */
  readonly fetches: boolean
  /** By the name of the relay. */
  make(request: FleetRequest): Promise<ReadonlyMap<string, readonly HostFile[]>>
}

export async function hostMakers(): Promise<readonly HostMaker[]> {
  const [tool] = await terraformTools()
  const byTerraform: HostMaker[] =
    tool === undefined
      ? []
      : [
          {
            name: `${tool.name}, module cloud-init`,
            fetches: true,
            make: async (request) => await withTerraform(tool, request),
          },
        ]
  return [{ name: 'derpfleet render systemd', fetches: false, make: withRender }, ...byTerraform]
}

/** As docs/bare-vm.md says. */
async function withRender({ regions, settings, meshKey }: FleetRequest): ReturnType<HostMaker['make']> {
  using folder = new TemporaryFolder()
  const files = ['-regions-file', folder.write('regions.yaml', regions)]
  const common = ['-settings', folder.write('common.yaml', stringify(settings))]
  const { code, stderr } = await derpfleet([
    'render',
    'systemd',
    ...files,
    ...common,
    '-o',
    folder.at('hosts'),
  ])
  if (code !== 0 || stderr !== '') throw new Error(`render: ${code}\n${stderr}`)
  const names = readdirSync(folder.at('hosts'), { withFileTypes: true }).filter((one) => one.isDirectory())
  return new Map(
    names.map(({ name }) => {
      const key = { path: '/etc/derpfleet/mesh.key', content: meshKey, mode: 0o600 }
      return [name, [...filesIn(folder.at(`hosts/${name}`)), key]]
    }),
  )
}

function filesIn(folder: string): readonly HostFile[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((one) => one.isFile())
    .map((one) => {
      const path = join(one.parentPath, one.name)
      return { path: path.slice(folder.length), content: readFileSync(path, 'utf8'), mode: 0o644 }
    })
}

interface CloudFile {
  readonly path: string
  readonly content: string
  readonly permissions: string
}

/** The example without its clouds: the modules `fleet` and `cloud-init`, as it calls them. */
async function withTerraform(
  tool: Parameters<typeof TerraformFolder.create>[1],
  { regions, settings, meshKey, regionsUrl }: FleetRequest,
): ReturnType<HostMaker['make']> {
  using folder = new TemporaryFolder()
  mkdirSync(folder.at('work'))
  const terraform = await TerraformFolder.create(folder.at('work'), tool)
  const values = {
    package: { url: 'https://example.com/derpfleet.deb', sha256: '00'.repeat(32) },
    verify_client_url: settings['verify-client-url'],
    mesh_key: meshKey,
    regions_url: regionsUrl,
    zone_id: 'none',
    singapore: { vpc_id: 'none', subnet_id: 'none', ami: 'none' },
  }
  const root = await terraform.writeRoot('examples/without-clouds', {
    'main.tf': exampleWithoutClouds(settings),
    'variables.tf': readFileSync(join(EXAMPLE, 'variables.tf'), 'utf8'),
    'regions.yaml': regions,
    'terraform.tfvars.json': JSON.stringify(values),
  })
  await terraform.ok(root, 'init', '-no-color')
  await terraform.ok(root, 'apply', '-auto-approve', '-no-color')
  const userData = JSON.parse(await terraform.ok(root, 'output', '-json', 'user_data')) as Record<
    string,
    string
  >
  return new Map(
    Object.entries(userData).map(([name, text]) => {
      const { write_files: files } = parse(text) as { write_files: readonly CloudFile[] }
      return [
        name,
        files.map(({ path, content, permissions }) => ({ path, content, mode: parseInt(permissions, 8) })),
      ]
    }),
  )
}

/** Settings that the example lacks go to its own ones. */
function exampleWithoutClouds(settings: Settings): string {
  const text = readFileSync(join(EXAMPLE, 'main.tf'), 'utf8')
  const block = (name: string): string => {
    const [found] = new RegExp(`^module "${name}" \\{\\n[^]*?\\n\\}$`, 'm').exec(text) ?? []
    if (found === undefined) throw new Error(`the example has no module ${name}`)
    return found
  }
  const own = 'settings     = { verify-client-url = var.verify_client_url, serve-map = true }'
  const fleet = block('fleet')
  if (!fleet.includes(own)) throw new Error('the example has other settings')
  const more = `settings = merge({ verify-client-url = var.verify_client_url, serve-map = true }, ${JSON.stringify(settings)})`
  const locals = 'locals {\n  regions_yaml = file("${path.module}/regions.yaml")\n}'
  const output = `output "user_data" {
  value     = { for name, host in module.cloud_init : name => host.user_data }
  sensitive = true
}`
  return [locals, fleet.replace(own, more), block('cloud_init'), output, ''].join('\n\n')
}
