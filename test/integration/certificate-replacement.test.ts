// Certificate files that are replaced in every way of tools while two unmodified tailscaled ping each other through the relay:
// the new certificate is served within five seconds, and no ping is lost.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { goodPair } from '../config/certificates.ts'
import {
  asMountedSecret,
  byRename,
  bySymbolicLink,
  fingerprintOf,
  inPlace,
  presentedAt,
} from '../support/certificate-files.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { type Relay, waitUntil } from '../support/process.ts'
import type { Tailnet } from '../support/tailnet.ts'
import { startTailnetThrough, type TailnetThroughRelay } from '../support/tailnet-through.ts'
import { PROGRAM as derpfleet } from '../support/program-path.ts'

const START_TIMEOUT_MS = 240_000
/** What the documents promise. */
const SERVED_WITHIN_MS = 5_000
/** One a second: all replacements happen while they run. */
const PINGS = 30

const clients = await foreignPrograms('tailscale', 'tailscaled', 'headscale')

describe.skipIf('missing' in clients)('two Tailscale clients while certificates are replaced', () => {
  let all: TailnetThroughRelay
  let folder: string
  let relay: Relay
  let net: Tailnet

  beforeAll(async () => {
    all = await startTailnetThrough(derpfleet, ['serve', '-threads', '2'])
    ;({ folder, relay, net } = all)
  }, START_TIMEOUT_MS)

  afterAll(async () => {
    await all?.[Symbol.asyncDispose]()
  }, START_TIMEOUT_MS)

  test('each is served within five seconds, and no ping is lost', { timeout: 120_000 }, async () => {
    const original = {
      certificate: await readFile(join(folder, 'localhost.crt'), 'utf8'),
      key: await readFile(join(folder, 'localhost.key'), 'utf8'),
    }
    const pinging = net.alice.run('ping', '--until-direct=false', `-c=${PINGS}`, await net.bob.address())
    const steps = [byRename, inPlace, byRename, inPlace, bySymbolicLink, bySymbolicLink]
    for (const [i, replace] of steps.entries()) {
      if (replace === bySymbolicLink && steps[i - 1] !== bySymbolicLink) asMountedSecret(folder, 'localhost')
      // The last one is the first again: its pin is in the clients' map.
      const pem = i === steps.length - 1 ? original : goodPair('localhost')
      replace(folder, 'localhost', pem)
      const expected = fingerprintOf(pem.certificate)
      await waitUntil(
        `replacement ${i + 1} is served`,
        async () => (await presentedAt(relay.port)) === expected,
        SERVED_WITHIN_MS,
      )
    }
    const lines = (await pinging).trim().split('\n')
    expect(lines).toEqual(Array.from({ length: PINGS }, () => expect.stringContaining('via DERP(lab)')))
    process.stderr.write(
      `certificates: ${steps.length} replacements, ${lines.length} of ${PINGS} pings answered\n`,
    )
  })
})
