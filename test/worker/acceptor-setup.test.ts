// The way of TLS that the program takes: the one that the setting names, or none; and that clients of all kinds are served by it.
// The same for its poll rounds.

import { expect, describe, it, vi } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { fileURLToPath } from 'node:url'
import { FREE_PORTS, derpfleetProcess, startDerpfleet } from '../cli/program.ts'
import { DAY_MS, makePair, writePair } from '../config/certificates.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { LiveRelay } from '../support/live-relay.ts'

vi.setConfig({ testTimeout: 90_000 })

const support = (name: string): string => fileURLToPath(new URL(`../support/${name}.ts`, import.meta.url))
const without = (name: string): NodeJS.ProcessEnv => ({ NODE_OPTIONS: `--import ${support(name)}` })

function serve(folder: TemporaryFolder, ...more: string[]): string[] {
  const nowMs = Date.now()
  writePair(folder, 'localhost', makePair(['localhost', '127.0.0.1'], nowMs - DAY_MS, nowMs + 90 * DAY_MS))
  const tls = ['-hostname', 'localhost', '-certmode', 'manual', '-certdir', folder.path]
  return ['serve', '-c', folder.at('key'), ...FREE_PORTS, '-threads', '2', ...tls, ...more]
}

async function wayOf(output: string, use = 'client_tls'): Promise<string | undefined> {
  const [, admin] = /"admin":"([^"]+)"/.exec(output) ?? []
  const metrics = await (await fetch(`http://${admin}/metrics`)).text()
  return new RegExp(`derp_native_info\\{use="${use}",way="(\\w+)"\\} 1`).exec(metrics)?.[1]
}

it.each(['openssl', 'handles', 'sockets'])('with -connections %s, its metrics name that way', async (way) => {
  using folder = new TemporaryFolder()
  const args = serve(folder, '-connections', way)
  await using relay = await startDerpfleet(args, { readyWhen: /relay_started/ })
  expect(await wayOf(relay.output)).toBe(way)
  expect(relay.output).not.toMatch(/failed/)
})

it('by default, TLS is by OpenSSL', async () => {
  using folder = new TemporaryFolder()
  await using relay = await startDerpfleet(serve(folder), { readyWhen: /relay_started/ })
  expect(await wayOf(relay.output)).toBe('openssl')
})

it.each([
  ['native calls, which is no fault', undefined, ['-native', 'off']],
  ['koffi, which is no fault', 'no-koffi', []],
  ['the OpenSSL that Node names', 'other-openssl', []],
])("by default, it is the runtime's without %s", async (_what, preload, more) => {
  using folder = new TemporaryFolder()
  const env = preload === undefined ? {} : without(preload)
  await using relay = await startDerpfleet(serve(folder, ...more), { readyWhen: /relay_started/, env })
  expect(await wayOf(relay.output)).toBe('handles')
  const warning = /openssl_failed.*Node's is 3\.99\.1/
  if (preload === 'other-openssl') expect(relay.output).toMatch(warning)
  else expect(relay.output).not.toMatch(/openssl_failed|handle_self_test_failed/)
})

it.each([
  ["by the kernel's timer with native calls", [], 'timerfd'],
  ['by it also if they are short', ['-poll-interval', '250us'], 'timerfd'],
  ["by the event loop's without native calls", ['-native', 'off', '-poll-interval', '250us'], 'off'],
])('poll rounds are begun %s', async (_what, more, way) => {
  using folder = new TemporaryFolder()
  const args = ['serve', '-c', folder.at('key'), ...FREE_PORTS, ...more]
  await using relay = await startDerpfleet(args, { readyWhen: /relay_started/ })
  expect(await wayOf(relay.output, 'poll_rounds')).toBe(way)
})

it('without TLS there is none, and OpenSSL may be named all the same', async () => {
  using folder = new TemporaryFolder()
  const args = ['serve', '-c', folder.at('key'), ...FREE_PORTS, '-connections', 'openssl']
  await using relay = await startDerpfleet(args, { readyWhen: /relay_started/ })
  expect(await wayOf(relay.output)).toBe('off')
})

it.each([
  ['koffi', 'no-koffi', [], /native calls are not in use/],
  ['native calls', undefined, ['-native', 'off'], /native calls are not in use/],
  ['the OpenSSL that Node names', 'other-openssl', [], /OpenSSL 3\.\d+\.\d+, and Node's is 3\.99\.1/],
])('does not start over OpenSSL without %s', async (_what, preload, more, reason) => {
  using folder = new TemporaryFolder()
  const args = serve(folder, '-connections', 'openssl', ...more)
  const env = preload === undefined ? {} : without(preload)
  const { code, stderr } = await derpfleetProcess(args, { env })
  expect(code).toBe(1)
  expect(stderr).toMatch(reason)
})

describe.each(['openssl', 'handles', 'sockets'] as const)('over %s', (connections) => {
  it('serves DERP, WebSocket and HTTP, and clients reach each other', async () => {
    await using relay = await LiveRelay.start({ connections, threadCount: 2 })
    const alice = await relay.client()
    const url = `wss://127.0.0.1:${relay.port}/derp`
    await using bob = await DerpClient.connect({ url, key: newKeyPair(), tls: { isInsecure: true } })
    for (let i = 0; i < 20; i++) {
      alice.send(bob.publicKey, Buffer.alloc(1_000 * i + 1, i))
      const { packet } = await bob.next('packet')
      bob.send(alice.publicKey, packet)
      expect(Buffer.from((await alice.next('packet')).packet)).toEqual(Buffer.alloc(1_000 * i + 1, i))
    }
  })
})
