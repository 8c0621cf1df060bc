// A relay that goes by a list of keys alone and asks about nobody again by itself: a change of the list counts for clients that are
// connected all the same. Real sockets and a real file.

import { expect, it } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { checkedBy, LiveRelay } from '../support/live-relay.ts'

it('without rechecks, a client that the list does not allow any more is ended', async () => {
  using folder = new TemporaryFolder()
  const [alice, bob] = [newKeyPair(), newKeyPair()]
  const [first, second] = [alice, bob].map(({ publicKey }) => `allow ${publicKeyText(publicKey)}\n`)
  const allowKeysPath = folder.write('keys', `${first}${second}`)
  await using relay = await LiveRelay.start({
    admission: { ...checkedBy(undefined), recheckMs: 0, allowKeysPath },
  })
  const ended: string[] = []
  for (const [name, key] of Object.entries({ alice, bob }))
    (await relay.client({ key })).on('closed', () => ended.push(name))
  folder.write('keys', `${second}`)
  await expect.poll(() => ended, { timeout: 10_000 }).toEqual(['alice'])
})
