// The program on a line of Node whose internals are not known: it serves over public sockets.

import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { FREE_PORTS, startDerpfleet } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

const NODE_OPTIONS = `--import ${fileURLToPath(new URL('../support/unknown-node.ts', import.meta.url))}`
const REASON = 'Error: the internals of Node 99.1.0 are not known; those of Node 22 and 24 are'

it('each relay thread says so once, and clients are served', { timeout: 60_000 }, async () => {
  using folder = new TemporaryFolder()
  const args = ['serve', '-c', folder.at('key'), ...FREE_PORTS, '-threads', '2', '-connections', 'auto']
  await using relay = await startDerpfleet(args, { readyWhen: /relay_started.*\n/, env: { NODE_OPTIONS } })
  const warnings = relay.output.split('\n').filter((line) => line.includes('handle_self_test_failed'))
  expect(warnings.map((line) => JSON.parse(line).reason)).toEqual([REASON, REASON])
  const [, derp] = /"derp":"([^"]+)"/.exec(relay.output) ?? []
  const dial = async () => await DerpClient.connect({ url: `http://${derp}`, key: newKeyPair() })
  await using alice = await dial()
  await using bob = await dial()
  alice.send(bob.publicKey, Buffer.from('hello, derp'))
  expect(Buffer.from((await bob.next('packet')).packet).toString()).toBe('hello, derp')
})
