// The user data of the module cloud-init, as cloud-init itself reads it, and in a root file system as a cloud's image has it. There
// is no systemd in it that runs: units are enabled and not started, and the relay is started by hand with the unit's command
// line. There is no network either, so the package comes from a file.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { DebianRoot } from '../support/debian-root.ts'
import { foreign } from '../support/foreign.ts'
import { runOk } from '../support/process.ts'
import { DEPLOY, TerraformFolder, terraformTools } from '../support/terraform.ts'

const [tool] = await terraformTools()
const archive = await foreign('debian-root')
if ('missing' in archive) process.stderr.write(`SKIPPING cloud-init: ${archive.missing}\n`)

const REGIONS = `# é
regions:
  900:
    code: fra
    name: "Frankfurt: 'é' #1"
    nodes: [{ name: 900a, hostname: derp1.fra.example.com, ipv4: 192.0.2.1 }]
  901:
    code: nyc
    nodes: [{ name: 901a, hostname: derp1.nyc.example.com, ipv4: 198.51.100.1 }]
`
const MESH_KEY = '0123456789abcdef'.repeat(4)

const ROOT = `
variable "package" {
  type = object({ url = string, sha256 = string })
}
module "fleet" {
  source       = "../modules/fleet"
  regions_yaml = file("\${path.module}/regions.yaml")
  settings     = { open-relay = true, tls = "off" }
}
module "cloud_init" {
  source              = "../modules/cloud-init"
  node                = module.fleet.nodes["900a"]
  regions_yaml        = file("\${path.module}/regions.yaml")
  regions_url         = "https://example.com/regions.yaml"
  package             = var.package
  mesh_key            = "${MESH_KEY}"
  ssh_authorized_keys = ["ssh-ed25519 AAAA alice"]
}
output "user_data" {
  value     = module.cloud_init.user_data
  sensitive = true
}
`

describe.skipIf('missing' in archive || tool === undefined)('cloud-init', () => {
  const folder = new TemporaryFolder()
  let root: DebianRoot
  let userData = ''
  beforeAll(async () => {
    if (tool === undefined || 'missing' in archive) return
    root = await DebianRoot.unpack(archive.path, folder.at('root'))
    const env = { DEB_LEVEL: '0' }
    const build = await runOk(join(DEPLOY, 'deb/build'), ['amd64', folder.at('deb')], {
      env,
      timeoutMs: 300_000,
    })
    const deb = readFileSync(build.trim())
    root.write('srv/derpfleet.deb', deb)
    const sha256 = createHash('sha256').update(deb).digest('hex')
    const terraform = await TerraformFolder.create(folder.at('terraform'), tool)
    const name = await terraform.writeRoot('host', {
      'main.tf': ROOT,
      'regions.yaml': REGIONS,
      'terraform.tfvars.json': JSON.stringify({ package: { url: 'file:///srv/derpfleet.deb', sha256 } }),
    })
    await terraform.ok(name, 'init', '-no-color')
    await terraform.ok(name, 'apply', '-auto-approve', '-no-color')
    userData = await terraform.ok(name, 'output', '-raw', 'user_data')
  }, 600_000)
  afterAll(() => folder[Symbol.dispose]())

  it('finds the user data valid', { timeout: 60_000 }, async () => {
    root.write('srv/user-data', userData)
    expect(await root.ok('cloud-init schema --config-file /srv/user-data')).toMatch(/^Valid/)
    // A mistyped key at the top passes, so these are compared by hand; what is inside is not.
    expect(Object.keys(parse(userData))).toEqual([
      'package_update',
      'packages',
      'runcmd',
      'ssh_authorized_keys',
      'write_files',
    ])
    root.write('srv/wrong', userData.replaceAll('"permissions"', '"permission"'))
    expect((await root.run('cloud-init schema --config-file /srv/wrong')).code).not.toBe(0)
  })

  it('sets the host up, and the relay starts with what it finds', { timeout: 600_000 }, async () => {
    root.write('var/lib/cloud/seed/nocloud/user-data', userData)
    root.write('var/lib/cloud/seed/nocloud/meta-data', 'instance-id: first\nlocal-hostname: derp-900a\n')
    root.write(
      'etc/cloud/cloud.cfg.d/99-test.cfg',
      'datasource_list: [NoCloud]\nnetwork: { config: disabled }\n',
    )
    const stages = ['init --local', 'init', 'modules --mode=config', 'modules --mode=final']
    for (const stage of stages) await root.run(`cloud-init ${stage}`)
    const output = `${root.read('var/log/cloud-init-output.log')}${root.read('var/log/cloud-init.log')}`
    expect(output).toContain('Setting up derpfleet')

    expect(root.read('etc/derpfleet/regions.yaml')).toBe(REGIONS)
    expect(root.read('etc/derpfleet/mesh.key')).toBe(`${MESH_KEY}\n`)
    expect(await root.ok('stat -c "%a %U" /etc/derpfleet/mesh.key /etc/derpfleet/derpfleet.yaml')).toBe(
      '600 root\n644 root\n',
    )
    const enabled = await root.ok('systemctl is-enabled derpfleet.service derpfleet-regions.timer')
    expect(enabled).toBe('enabled\nenabled\n')
    const dropIn = root.read('etc/systemd/system/derpfleet.service.d/fleet.conf')
    expect(dropIn).toContain('LoadCredential=mesh.key:/etc/derpfleet/mesh.key')

    // What systemd does before it starts the service: the credential, the folders, the user's cache.
    const prepare =
      'mkdir -p /run/credentials/derpfleet.service /var/lib/derpfleet && cp /etc/derpfleet/mesh.key /run/credentials/derpfleet.service/'
    const [, command = ''] =
      /^ExecStart=(.*)$/m.exec(root.read('usr/lib/systemd/system/derpfleet.service')) ?? []
    const start = `${prepare} && (STATE_DIRECTORY=/var/lib/derpfleet ${command} > /tmp/log 2>&1 &)`
    const wait =
      'for i in $(seq 100); do curl -sf http://127.0.0.1:9090/livez && break; sleep 0.2; done; cat /tmp/log >&2'
    const map = 'curl -sf http://127.0.0.1:9090/derpmap.json'
    const printed = await root.ok(`${start}; ${wait}; ${map}`)
    expect(printed).toContain('"RegionName":"Frankfurt: \'é\' #1"')
  })

  it('refuses a package with other bytes', { timeout: 60_000 }, async () => {
    const sum = '00'.repeat(32)
    const { code, stderr } = await root.run(`install-derpfleet file:///srv/derpfleet.deb ${sum}`)
    expect(code).toBe(1)
    expect(stderr).toContain('has other bytes than the pinned ones; nothing installed')
  })

  it(
    'follows the file at a URL, and keeps its own while that one is wrong',
    { timeout: 60_000 },
    async () => {
      root.write('srv/new.yaml', REGIONS.replace('code: nyc', 'code: nyc\n    state: draining'))
      await root.ok('fetch-regions file:///srv/new.yaml')
      expect(root.read('etc/derpfleet/regions.yaml')).toContain('state: draining')
      for (const wrong of ['regions: {}\n', '<html>busy</html>\n', '']) {
        root.write('srv/new.yaml', wrong)
        expect((await root.run('fetch-regions file:///srv/new.yaml')).code).not.toBe(0)
      }
      expect((await root.run('fetch-regions file:///srv/missing.yaml')).code).not.toBe(0)
      expect(root.read('etc/derpfleet/regions.yaml')).toContain('state: draining')
      expect(await root.ok('ls -A /etc/derpfleet')).toBe('derpfleet.yaml\nmesh.key\nregions.yaml\n')
    },
  )
})
