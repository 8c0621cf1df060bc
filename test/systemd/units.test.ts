// The files of deploy/systemd, as systemd itself reads them, and as far as they can be checked without it.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { hostInfo } from '#config/host-info.ts'
import { derpfleet } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { runProcess } from '../support/process.ts'

const hasAnalyze = spawnSync('systemd-analyze', ['--version']).status === 0
if (!hasAnalyze) process.stderr.write('SKIPPING the unit files: systemd-analyze is not on the PATH\n')

const read = (name: string): string =>
  readFileSync(new URL(`../../deploy/systemd/${name}`, import.meta.url), 'utf8')

it.skipIf(!hasAnalyze)('the units are valid, without a misspelt or unknown setting', async () => {
  using folder = new TemporaryFolder()
  const units = ['derpfleet.service', 'derpfleet.socket'].map((name) => {
    // Only the program is not where the unit expects it.
    writeFileSync(folder.at(name), read(name).replace('/usr/local/bin/derpfleet', process.execPath))
    return folder.at(name)
  })
  const verify = ['verify', '--recursive-errors=yes', '--man=no', ...units]
  const { code, stdout, stderr } = await runProcess('systemd-analyze', verify)
  expect(stdout + stderr).toBe('')
  expect(code).toBe(0)
  // The test must be able to fail: systemd ignores a setting that it does not know.
  writeFileSync(folder.at('derpfleet.service'), read('derpfleet.service').replace('UMask=', 'UMaks='))
  expect((await runProcess('systemd-analyze', verify)).code).not.toBe(0)
})

it.skipIf(!hasAnalyze)('the unit of a bridge is valid, as "derpfleet bridge unit" prints it', async () => {
  using folder = new TemporaryFolder()
  const { stdout: unit } = await derpfleet(['bridge', 'unit'])
  const path = folder.at('derpfleet-bridge@wg0.service')
  const verify = ['verify', '--recursive-errors=yes', '--man=no', path]
  writeFileSync(path, unit.replace('/usr/local/bin/derpfleet', process.execPath))
  const { code, stdout, stderr } = await runProcess('systemd-analyze', verify)
  expect(stdout + stderr).toBe('')
  expect(code).toBe(0)
})

it.skipIf(!hasAnalyze)('the service is exposed little, by systemd’s own score', async () => {
  using folder = new TemporaryFolder()
  writeFileSync(folder.at('derpfleet.service'), read('derpfleet.service'))
  const security = ['security', '--offline=true', '--threshold=20', folder.at('derpfleet.service')]
  const { code, stdout, stderr } = await runProcess('systemd-analyze', security)
  expect(stderr + stdout.split('\n').at(-2)).toMatch(/Overall exposure level/)
  expect(code).toBe(0)
})

it('certificates by ACME are kept where the service may write', () => {
  const lines = [...read('derpfleet.service').matchAll(/^Environment=(\w+)=(.*)$/gm)]
  const env = Object.fromEntries(
    lines.map(([, name = '', value = '']) => [name, value.replace('%S', '/var/lib')]),
  )
  expect(hostInfo(env).cacheFolder).toMatch(/^\/var\/lib\/derpfleet(\/|$)/)
})

it('the kernel settings are ones that this kernel has', () => {
  const names = read('60-derpfleet.conf').match(/^[\w.]+(?= = \d+$)/gm) ?? []
  expect(names).toContain('net.ipv4.tcp_migrate_req')
  const settings = read('60-derpfleet.conf').match(/^[^#\n].*$/gm)
  expect(settings).toHaveLength(names.length)
  // Containers have a network of their own, and do not show the settings of the whole host.
  const known = names.filter((name) => name.startsWith('net.ipv4.'))
  expect(known.filter((name) => !existsSync(`/proc/sys/${name.replaceAll('.', '/')}`))).toEqual([])
})
