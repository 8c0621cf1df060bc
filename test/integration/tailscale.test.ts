// Unmodified Tailscale clients under Headscale whose only path to each other is the relay under test. derper runs
// through the same tests: this verifies the setup, and its results are the ones expected of this relay. In the variant
// with TLS 1.2 a client cannot learn the relay's key from the handshake, so it cannot use fast start; the relay has to
// respond with a 101 and a ServerKey frame.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { foreignPrograms } from '../support/foreign.ts'
import { type Relay, runOk, tlsVersionAt } from '../support/process.ts'
import type { Tailnet } from '../support/tailnet.ts'
import { startTailnetThrough, type TailnetThroughRelay } from '../support/tailnet-through.ts'
import { PROGRAM as derpfleet } from '../support/program-path.ts'

/** The logins of two clients, which depend on the machine only. The steps inside have limits of their own. */
const startTimeoutMs = 240_000
/** 100 MB at a tenth of the usual rate of the clients. */
const testTimeoutMs = 120_000

const transferBytes = 100_000_000

const clients = await foreignPrograms('tailscale', 'tailscaled', 'headscale')
const derper = await foreignPrograms('derper-1.104.5')

const relays: readonly {
  readonly name: string
  readonly command: string | undefined
  readonly args: readonly string[]
  readonly tls: string
}[] = [
  {
    name: 'derper 1.104.5',
    command: 'paths' in derper ? derper.paths['derper-1.104.5'] : undefined,
    args: [],
    tls: 'TLSv1.3',
  },
  { name: 'derpfleet', command: derpfleet, args: ['serve'], tls: 'TLSv1.3' },
  {
    name: 'derpfleet without fast start',
    command: derpfleet,
    args: ['serve', '-tls-max-version', '1.2'],
    tls: 'TLSv1.2',
  },
]

for (const { name, command, args, tls } of relays) {
  describe.skipIf('missing' in clients || command === undefined)(
    `two Tailscale clients through ${name}`,
    () => {
      let all: TailnetThroughRelay
      let relay: Relay
      let net: Tailnet

      beforeAll(async () => {
        all = await startTailnetThrough(command ?? '', args)
        ;({ relay, net } = all)
      }, startTimeoutMs)

      afterAll(async () => {
        await all?.[Symbol.asyncDispose]()
      }, startTimeoutMs)

      test('the handshake is that of the variant', async () => {
        expect(await tlsVersionAt(relay.port)).toBe(tls)
        expect(await announcedKey(relay.port)).toBe(relay.publicKey)
      })

      test('alice pings bob through the region only', { timeout: testTimeoutMs }, async () => {
        const output = await net.alice.run('ping', '--until-direct=false', '-c=3', await net.bob.address())
        expect(output.trim().split('\n')).toEqual(
          Array.from({ length: 3 }, () => expect.stringContaining('via DERP(lab)')),
        )
      })

      test("alice reaches bob's network stack", { timeout: testTimeoutMs }, async () => {
        expect(await net.alice.run('ping', '--tsmp', '-c=1', await net.bob.address())).toContain('via TSMP')
        expect(await net.alice.run('status')).toContain('relay "lab"')
      })

      test('netcheck finds UDP, the region and its latency', { timeout: testTimeoutMs }, async () => {
        const { udp, nearestRegion, latencies } = await net.alice.netcheck()
        expect({ udp, nearestRegion }).toEqual({ udp: true, nearestRegion: 900 })
        expect(latencies.get(900)).toBeGreaterThan(0)
      })

      // The relay listens on IPv4 only and not on port 80. The client reports both, for every relay.
      test('the client finds nothing else wrong with the region', { timeout: testTimeoutMs }, async () => {
        const { infos, warnings, errors } = await net.alice.debugRegion()
        expect(errors.filter((line) => !line.includes('over IPv6'))).toEqual([])
        expect(warnings.filter((line) => !/single DERP region|is port 80 blocked/.test(line))).toEqual([])
        expect(infos).toContainEqual(expect.stringContaining('Successfully established a DERP connection'))
        expect(infos).toContainEqual(expect.stringContaining('returned IPv4 STUN response: 127.0.0.1:'))
      })

      test('100 MB arrive unchanged', { timeout: testTimeoutMs }, async () => {
        const { sent, received, receivedBytes } = await net.transfer(transferBytes)
        expect(receivedBytes).toBe(transferBytes)
        expect(received).toBe(sent)
        const peer = await net.alice.peer()
        expect(peer).toMatchObject({ relay: 'lab', directAddress: '' })
        expect(peer?.rxBytes).toBeGreaterThan(transferBytes)
      })

      test(
        "Headscale's admission endpoint allows alice and no unknown key",
        { timeout: testTimeoutMs },
        async () => {
          expect(await net.verify(await net.alice.nodeKey())).toBe(true)
          expect(await net.verify(`nodekey:${'1'.repeat(64)}`)).toBe(false)
        },
      )
    },
  )
}

/**
 * The relay's public key in the name of the meta certificate (`CN = derpkey<64 hex digits>`). With TLS 1.3 a client reads it
 * and uses fast start; with TLS 1.2 it does not read it.
 */
async function announcedKey(port: number): Promise<string | undefined> {
  const at = `127.0.0.1:${port}`
  const shown = await runOk('openssl', ['s_client', '-showcerts', '-servername', 'localhost', '-connect', at])
  return /derpkey([0-9a-f]{64})/.exec(shown)?.[1]
}
