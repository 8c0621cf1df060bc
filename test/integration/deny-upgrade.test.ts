// Denials over an upgrade in place: real processes of one relay. What the older run was told holds in the newer one, also when it was
// told while that one was starting.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { publicKeyText, type KeyPair } from '#protocol/node-key.ts'
import { derpfleet } from '../cli/program.ts'
import { RunHost } from '../support/run-host.ts'

/** By docs/admission.md, a run does what the other was told within two and a half seconds. */
const STATED_MS = 2_500

it('whom an operator denies before, during and after an upgrade is refused by the newer run', async () => {
  await using host = await RunHost.make()
  const members = Array.from({ length: 4 }, newKeyPair) as [KeyPair, KeyPair, KeyPair, KeyPair]
  const list = join(host.folder, 'members')
  await writeFile(list, members.map(({ publicKey }) => `${publicKeyText(publicKey)}\n`).join(''))
  const args = ['-open-relay=false', '-allow-keys-file', list]
  const order = async (...words: readonly string[]): Promise<number | null> =>
    (await derpfleet([...words, '-state-dir', join(host.folder, 'state')])).code
  const deny = async ({ publicKey }: KeyPair): Promise<number | null> =>
    await order('deny', publicKeyText(publicKey))
  const isAdmitted = async (key: KeyPair): Promise<boolean> =>
    await DerpClient.connect({
      host: 'localhost',
      dialAddress: host.address,
      port: host.ports.derp,
      tls: { isInsecure: true },
      key,
    }).then(
      async (client) => (await client.close(), true),
      () => false,
    )
  const [before, meanwhile, after, never] = members
  const older = await host.start(...args)
  expect(await deny(before)).toBe(0)
  const newer = host.launch(...args)
  // It has read the state folder by then, or has not.
  await expect.poll(() => newer.output, { timeout: 30_000 }).not.toBe('')
  expect(await deny(meanwhile)).toBe(0)
  await host.started(newer)
  expect((await older.exited).code).toBe(0)
  await expect.poll(async () => await isAdmitted(meanwhile), { timeout: STATED_MS }).toBe(false)
  expect(await isAdmitted(before)).toBe(false)
  expect(await deny(after)).toBe(0)
  expect(await Promise.all([after, never].map(isAdmitted))).toEqual([false, true])
  expect(await order('allow', publicKeyText(meanwhile.publicKey))).toBe(0)
  expect(await isAdmitted(meanwhile)).toBe(true)
}, 90_000)
