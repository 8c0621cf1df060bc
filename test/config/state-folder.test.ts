import { expect, test } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { hostInfo } from '#config/host-info.ts'
import { isStateFolderName, stateFolderName } from '#config/state-folder.ts'
import { ConfigFixture, KEY_PAIR } from './config-fixture.ts'

const NAME = toHex(KEY_PAIR.publicKey).slice(0, 16)

test('each key has a folder of its own in the default folder; a named folder is used as it is', () => {
  using fixture = new ConfigFixture()
  const args = ['-c', fixture.keyPath, '-a', '127.0.0.1:3340']
  expect(fixture.settings(args).stateFolder).toBe(`${fixture.host.stateFolder}/${NAME}`)
  expect(fixture.settings([...args, '-state-dir', '/s']).stateFolder).toBe('/s')
  expect(fixture.settings([...args, '-state-dir', 's']).stateFolder).toBe(`${process.cwd()}/s`)
  expect(fixture.settings(args, { DERPFLEET_STATE_DIR: '/e' }).stateFolder).toBe('/e')
  expect([stateFolderName(KEY_PAIR.publicKey), isStateFolderName(NAME)]).toEqual([NAME, true])
  expect(
    ['', 'relay.json', NAME.slice(1), `${NAME}\n`, NAME.toUpperCase()].filter(isStateFolderName),
  ).toEqual([])
})

test('-dev has none, because its key lasts for one run', () => {
  using fixture = new ConfigFixture()
  const { stateFolder, warnings } = fixture.settings(['-dev', '-open-relay', '-state-dir', '/s'])
  expect(stateFolder).toBeUndefined()
  expect(warnings).toContain('-state-dir: has no effect with -dev')
})

test.each([
  [{ STATE_DIRECTORY: '/var/lib/private/derpfleet' }, '/var/lib/private/derpfleet'],
  [{ STATE_DIRECTORY: '/var/lib/a:/var/lib/b' }, '/var/lib/a'],
])("with systemd's %j it is %s", (env, expected) => {
  expect(hostInfo(env).stateFolder).toBe(expected)
})

test.runIf(process.getuid?.() === 0)('for root it is that of a service', () => {
  expect(hostInfo({ HOME: '/root', XDG_STATE_HOME: '/root/state' }).stateFolder).toBe('/var/lib/derpfleet')
})

test.skipIf(process.getuid?.() === 0).each([
  [{ HOME: '/home/alice' }, '/home/alice/.local/state/derpfleet'],
  [{ HOME: '/home/alice', XDG_STATE_HOME: '/s' }, '/s/derpfleet'],
  [{ HOME: '/home/alice', XDG_STATE_HOME: 's' }, '/home/alice/.local/state/derpfleet'],
])('for users, with %j, it is %s', (env, expected) => {
  expect(hostInfo(env).stateFolder).toBe(expected)
})
