// `derpfleet clients` with a relay of the program: over its socket, and over its admin port without a token.

import { expect, test, vi } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { publicKeyText, shortKey } from '#protocol/node-key.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { derpfleet, derpfleetProcess, FREE_PORTS, startDerpfleet } from './program.ts'

// Processes are started.
vi.setConfig({ testTimeout: 60_000 })

const SERVING = /"event":"relay_started".*"derp":"127.0.0.1:(\d+)".*"admin":"([^"]+)"/

test('prints who is here, the busiest first, for people and as JSON', async () => {
  using folder = new TemporaryFolder()
  const env = { STATE_DIRECTORY: folder.at('state') }
  const args = ['serve', '-c', folder.at('derper.key'), ...FREE_PORTS, '-open-relay', '-log-level', 'debug']
  await using relay = await startDerpfleet(args, { readyWhen: SERVING, env })
  const [, port, admin = ''] = SERVING.exec(relay.output) ?? []
  const target = { host: '127.0.0.1', port: Number(port), tls: false } as const
  const [talker, silent] = [newKeyPair(), newKeyPair()]
  await using quiet = await DerpClient.connect({ ...target, key: silent, isPreferred: true })
  await using busy = await DerpClient.connect({ ...target, key: talker })
  const sending = setInterval(() => void busy.send(quiet.publicKey, Buffer.alloc(1_000)), 20)
  try {
    const { code, stdout, stderr } = await derpfleetProcess(['clients'], { env })
    expect([code, stderr]).toEqual([0, ''])
    const lines = stdout.split('\n')
    expect(lines[0]).toMatch(
      /^2 connections of 2 keys {2}1 at home here {2}rates over \d\.\d s {2}[\d:]{8} UTC$/,
    )
    const keys = lines.slice(3, 5).map((line) => line.split(' ', 1)[0])
    expect(new Set(keys)).toEqual(new Set([silent, talker].map(({ publicKey }) => shortKey(publicKey))))
    expect(lines[3]).toMatch(/^\[.{5}\] +\d+ s +plain\/derp +(home +)?(0|[\d.]+) k?bit\/s +/)
    for (const more of [[], ['-addr', admin]]) {
      const json = await derpfleet(['clients', '-json', '-full-keys', '-sort', 'since', ...more], env)
      expect(JSON.parse(json.stdout)).toMatchObject({
        connections: 2,
        clients: [
          { key: publicKeyText(silent.publicKey), isHome: true },
          { key: publicKeyText(talker.publicKey) },
        ],
      })
      const one = await derpfleet(
        ['clients', '-key', publicKeyText(talker.publicKey).slice(0, 20), ...more],
        env,
      )
      expect(one.stdout).toContain(shortKey(talker.publicKey))
      expect(one.stdout).not.toContain(shortKey(silent.publicKey))
      const problem = await derpfleet(['clients', '-key', '\u{1b}[2J', ...more], env)
      expect([problem.code, problem.stdout]).toEqual([2, ''])
      expect(problem.stderr).not.toContain('\u{1b}')
    }
  } finally {
    clearInterval(sending)
  }
  expect(await derpfleet(['clients', '-limit', '10001'], env)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('-limit: invalid value "10001"'),
  })
  // Another command whose own option has the name of one of `serve`.
  const kicked = await derpfleet(['kick', '-key', publicKeyText(talker.publicKey), '-for', '0'], env)
  expect(kicked).toMatchObject({ code: 0, stdout: expect.stringContaining('1 connection ended') })
  expect(relay.output).toContain('"event":"verb_read","verb":"clients"')
})
