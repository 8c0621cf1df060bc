// `derpfleet lane status` with a relay of the program, whose lane a peer has registered with.

import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
import { parseWireguardKey } from '#protocol/key-file.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { freePort, waitUntil } from '../support/process.ts'
import { UdpPeer } from '../support/udp-peer.ts'
import { base64, wireguardKey } from '../support/wireguard.ts'
import { derpfleet, FREE_PORTS, startDerpfleet } from './program.ts'

// A process is started.
vi.setConfig({ testTimeout: 60_000 })

test('prints who is on the lane, for people and as JSON; the first start makes its key', async () => {
  using folder = new TemporaryFolder()
  const env = { STATE_DIRECTORY: folder.at('state') }
  const port = await freePort()
  const absent = base64(wireguardKey().publicKey)
  writeFileSync(folder.at('roster'), `${absent} bob\n`)
  const files = ['-lane-key-file', folder.at('lane.key'), '-lane-roster', folder.at('roster')]
  const args = ['serve', '-c', folder.at('derper.key'), ...FREE_PORTS, '-open-relay']
  await using relay = await startDerpfleet([...args, '-lane', `127.0.0.1:${port}`, ...files], {
    readyWhen: /"event":"relay_started"/,
    env,
  })
  expect(relay.output).toContain(`"lane":"127.0.0.1:${port}"`)
  expect(statSync(folder.at('lane.key')).mode & 0o777).toBe(0o600)
  const key = parseWireguardKey(readFileSync(folder.at('lane.key'), 'utf8'))
  if (!('value' in key)) throw new Error(key.problem)
  using alice = new UdpPeer({ key: key.value, port, address: '127.0.0.1' })
  writeFileSync(folder.at('roster'), `${absent} bob\n${alice.peer.text} alice bob\n`)
  expect((await derpfleet(['reload'], env)).code).toBe(0)
  await waitUntil('alice may register', async () => {
    await alice.register()
    return true
  })
  await waitUntil('she is here', async () =>
    (await derpfleet(['lane', 'status'], env)).stdout.includes('1 of 2'),
  )
  const { stdout } = await derpfleet(['lane', 'status'], env)
  const [head = '', columns = '', ...rows] = stdout.trimEnd().split('\n')
  expect(head).toBe(`lane on 127.0.0.1:${port}, public key ${base64(key.value.publicKey)}: 1 of 2 peers here`)
  expect(columns).toMatch(/^NAME +KEY +ADDRESS +PROVEN +LINKS +ALSO BY DERP$/)
  expect(rows[0]).toMatch(/^bob +\[.{5}\] +- +- +1 +no$/)
  expect(rows[1]).toMatch(/^alice +\[.{5}\] +127\.0\.0\.1:\d+ +\d s ago +1 +no$/)
  const json = await derpfleet(['lane', 'status', '-json'], env)
  expect(JSON.parse(json.stdout)).toMatchObject({
    publicKey: base64(key.value.publicKey),
    numbers: { handshakesProven: 1 },
    members: [
      { name: 'bob', isHere: false },
      { name: 'alice', isHere: true, links: 1 },
    ],
  })
})

test('without a lane, and without its command, it says so', async () => {
  expect(await derpfleet(['lane'])).toMatchObject({ code: 2, stderr: expect.stringContaining('lane status') })
  expect(await derpfleet(['lane', '-help'])).toMatchObject({ code: 0 })
})
