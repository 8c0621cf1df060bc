// A copied machine: somebody else logs in to the relay with the node key of an unmodified Tailscale client. Its user is told by
// `tailscale status`, and is told when it is over; a client that has only connected again is not told.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DerpClient } from '#client/derp-client.ts'
import { keyPairFrom, parsePrivateKey } from '#protocol/node-key.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { waitUntil } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'
import { startTailnetThrough, type TailnetThroughRelay } from '../support/tailnet-through.ts'

const START_MS = 240_000
const TEST_MS = 120_000
/** As Tailscale shows it for the relay's region, with the relay's text. */
const SHOWN =
  /^The relay server #900 is reporting an issue: another device is connected with the same node key/

const clients = await foreignPrograms('tailscale', 'tailscaled', 'headscale')

describe.skipIf('missing' in clients)('a copied machine', () => {
  let all: TailnetThroughRelay

  beforeAll(async () => {
    all = await startTailnetThrough(PROGRAM, ['serve'])
  }, START_MS)

  afterAll(async () => {
    await all?.[Symbol.asyncDispose]()
  }, START_MS)

  async function copyOfAlice(): Promise<DerpClient> {
    const privateKey = parsePrivateKey(await all.net.alice.privateNodeKey())
    if (privateKey === undefined) throw new Error('alice has no node key')
    return await DerpClient.connect({
      host: '127.0.0.1',
      port: all.relay.port,
      tls: { isInsecure: true, servername: 'localhost' },
      key: keyPairFrom(privateKey),
    })
  }

  const shown = async (): Promise<readonly string[]> =>
    (await all.net.alice.healthProblems()).filter((problem) => SHOWN.test(problem))

  test(
    "alice's user sees it while both are alive, and not any more when the copy has left",
    { timeout: TEST_MS },
    async () => {
      const { alice, bob } = all.net
      expect(await shown()).toEqual([])
      const copy = await copyOfAlice()
      const told: string[] = []
      copy.on('health', (text) => told.push(text))
      // Both speak now and then, so that nobody has to wait for the kernel.
      const talking = setInterval(() => void copy.notePreferred(true), 1_000)
      try {
        await waitUntil(
          'alice shows the problem',
          async () => {
            await alice
              .run('ping', '--until-direct=false', '-c=1', '--timeout=1s', await bob.address())
              .catch(() => undefined)
            return (await shown()).length === 1
          },
          60_000,
        )
        expect(told).toEqual([expect.stringContaining('another device is connected')])
      } finally {
        clearInterval(talking)
      }
      await copy.close()
      await waitUntil('alice shows it no more', async () => (await shown()).length === 0)
    },
  )

  test('a copy that stays for a moment only is nothing to tell of', { timeout: TEST_MS }, async () => {
    for (let n = 0; n < 5; n++) {
      const copy = await copyOfAlice()
      await new Promise((passed) => setTimeout(passed, 2_000))
      await copy.close()
      expect(await shown()).toEqual([])
    }
  })
})
