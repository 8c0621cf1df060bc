// The Debian package: the same bytes from the same sources, complete in itself, installed and removed in a root file system
// of its own.

import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { packageVersion } from '#ops/version.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { DebianRoot } from '../support/debian-root.ts'
import { foreign } from '../support/foreign.ts'
import { runOk, runProcess } from '../support/process.ts'
import { DEPLOY } from '../support/terraform.ts'

const folder = new TemporaryFolder()
afterAll(() => folder[Symbol.dispose]())

/** Quick compression: the bytes are as reproducible. */
async function build(name: string): Promise<string> {
  const env = { DEB_LEVEL: '0', SOURCE_DATE_EPOCH: '1800000000' }
  const printed = await runOk(join(DEPLOY, 'deb/build'), ['amd64', folder.at(name)], {
    env,
    timeoutMs: 300_000,
  })
  return printed.trim()
}

function digest(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

describe('the package', () => {
  let path = ''
  beforeAll(async () => {
    path = await build('first')
  }, 300_000)

  it('has the same bytes when it is built again', { timeout: 300_000 }, async () => {
    expect(digest(await build('second'))).toBe(digest(path))
  })

  it(
    'has the program, its packages and Node, and runs where it is unpacked',
    { timeout: 120_000 },
    async () => {
      expect(await runOk('dpkg-deb', ['--field', path, 'Package', 'Version', 'Architecture'])).toBe(
        `Package: derpfleet\nVersion: ${packageVersion()}\nArchitecture: amd64\n`,
      )
      await runOk('dpkg-deb', ['--extract', path, folder.at('tree')])
      // A PATH without Node, so that it runs on its own.
      const program = folder.at('tree/usr/bin/derpfleet')
      const options = { env: { PATH: '/usr/bin:/bin', NODE_PATH: '' } }
      expect(await runOk(program, ['version'], options)).toBe(`${packageVersion()}\n`)
      const regions = folder.at('tree/usr/share/doc/derpfleet/regions.yaml')
      expect(await runOk(program, ['map', 'check', regions], options)).toContain('is valid: 3 regions')
      expect(existsSync(folder.at('tree/usr/lib/sysctl.d/60-derpfleet.conf'))).toBe(true)
      const bill = readFileSync(folder.at('tree/usr/share/doc/derpfleet/sbom.cdx.json'), 'utf8')
      expect(JSON.parse(bill).components).toContainEqual(expect.objectContaining({ name: 'koffi' }))
      const modules = readdirSync(folder.at('tree/usr/lib/derpfleet/node_modules'))
      expect(modules).toContain('koffi')
      expect(modules).not.toContain('vitest')
    },
  )

  it('has units that systemd accepts', async () => {
    await runOk('dpkg-deb', ['--extract', path, folder.at('units')])
    const units = folder.at('units/usr/lib/systemd/system')
    const unit = readFileSync(join(units, 'derpfleet.service'), 'utf8')
    expect(unit).toContain('ExecStart=/usr/bin/derpfleet serve -config /etc/derpfleet/derpfleet.yaml\n')
    writeFileSync(join(units, 'derpfleet.service'), unit.replace('/usr/bin/derpfleet', process.execPath))
    const args = ['verify', '--recursive-errors=yes', '--man=no', join(units, 'derpfleet.service')]
    const { code, stdout, stderr } = await runProcess('systemd-analyze', args)
    expect([code, stdout + stderr]).toEqual([0, ''])
  })
})

const archive = await foreign('debian-root')
if ('missing' in archive)
  process.stderr.write(`SKIPPING the package in a root file system: ${archive.missing}\n`)

describe.skipIf('missing' in archive)('in a root file system', () => {
  it('is installed, runs, and is removed without a trace', { timeout: 300_000 }, async () => {
    const path = await build('installed')
    using root = await DebianRoot.unpack('path' in archive ? archive.path : '', folder.at('root'))
    root.write('srv/derpfleet.deb', readFileSync(path))
    const before = await root.ok(
      'find / -xdev -not -path "/proc/*" -not -path "/var/lib/dpkg/*" -not -path "/var/log/*" -not -path "/srv/*" -not -path "/var/cache/*" | sort',
    )
    await root.ok('dpkg --install /srv/derpfleet.deb')
    expect(await root.ok('derpfleet version')).toBe(`${packageVersion()}\n`)
    expect(await root.ok('derpfleet keygen -mesh -o /srv/mesh.key && wc -c < /srv/mesh.key')).toBe('65\n')
    // Not started, and not even enabled: it has no settings yet.
    expect((await root.run('systemctl is-enabled derpfleet.service')).stdout).toBe('disabled\n')
    expect(await root.ok('dpkg --verify derpfleet; getent passwd derpfleet || echo no user')).toBe(
      'no user\n',
    )
    await root.ok('systemctl enable derpfleet.service derpfleet.socket')
    await root.ok('mkdir -p /var/lib/private/derpfleet && echo key > /var/lib/private/derpfleet/derper.key')
    await root.ok('dpkg --remove derpfleet')
    expect(await root.ok('ls /var/lib/private/derpfleet')).toBe('derper.key\n')
    await root.ok('dpkg --purge derpfleet && rm /srv/mesh.key && rmdir /var/lib/private 2>/dev/null || true')
    const after = await root.ok(
      'find / -xdev -not -path "/proc/*" -not -path "/var/lib/dpkg/*" -not -path "/var/log/*" -not -path "/srv/*" -not -path "/var/cache/*" | sort',
    )
    expect(after.split('\n').filter((line) => !before.split('\n').includes(line))).toEqual([])
  })
})
