// A real Headscale as the back end of admission, with keys of real clients that are registered there: who is in while it runs, who
// is in once it has stopped and the relay was restarted, and how long; and a node that is deleted while it is connected.

import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import type { Settings } from '#config/settings.ts'
import { publicKeyText, type KeyPair } from '#protocol/node-key.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { startHeadscale, type Control } from '../support/headscale.ts'
import { makeCertificate } from '../support/certificate.ts'
import { checkedBy, LiveRelay, NO_MESH, siblingAt } from '../support/live-relay.ts'
import { runOk } from '../support/process.ts'
import { Client } from '../support/tailnet.ts'
import { privateKeyIn } from '../support/tailscaled-state.ts'

const found = await foreignPrograms('headscale', 'tailscale', 'tailscaled')
const programs = 'paths' in found ? found.paths : undefined

const GRACE_MS = 30_000
const RECHECK_MS = 4_000
const POLICY = { graceMs: GRACE_MS, recheckMs: RECHECK_MS }
/** No relay of it is ever used. */
const DERP_MAP = {
  regions: new Map([[900, { regionid: 900, regioncode: 'none', regionname: 'none', nodes: [] }]]),
}

describe.skipIf(programs === undefined)('with Headscale', { timeout: 180_000 }, () => {
  let folder: string
  let control: Control
  let keys: { readonly member: KeyPair; readonly leaver: KeyPair }
  const relays: LiveRelay[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'admission-outage-'))
    await mkdir(join(folder, 'headscale'))
    if (programs === undefined) return
    control = await startHeadscale(programs.headscale, join(folder, 'headscale'), '127.0.0.1', DERP_MAP)
    const [member, leaver] = await Promise.all(
      ['member', 'leaver'].map(async (name) => await registered(name)),
    )
    if (member !== undefined && leaver !== undefined) keys = { member, leaver }
  }, 120_000)

  afterAll(async () => {
    for (const relay of relays) await relay[Symbol.asyncDispose]()
    await control?.server.stop()
    await rm(folder, { recursive: true, force: true })
  })

  /** The key of a client that has registered, and does not run any more. */
  async function registered(name: string): Promise<KeyPair> {
    if (programs === undefined) throw new Error('no programs')
    await using client = await Client.start(name, { folder, programs })
    await client.logIn(control.url, control.authKey)
    const pair = privateKeyIn(await readFile(join(folder, name, 'tailscaled.state'), 'utf8'))
    expect(publicKeyText(pair.publicKey)).toBe(await client.nodeKey())
    return pair
  }

  async function startRelay(
    name: string,
    nodeKey: KeyPair,
    more: Partial<Settings> = {},
  ): Promise<LiveRelay> {
    const relay = await LiveRelay.start({
      nodeKey,
      stateFolder: join(folder, name),
      threadCount: 2,
      admission: checkedBy(`${control.url}/verify`, POLICY),
      ...more,
    })
    relays.push(relay)
    return relay
  }

  const isIn = async (relay: LiveRelay, key: KeyPair): Promise<boolean> =>
    await relay.client({ key }).then(
      () => true,
      () => false,
    )

  it('a node that is deleted is cut off within the time of a recheck', async () => {
    const relay = await startRelay('deleted', newKeyPair())
    const { member, leaver } = keys
    const [stays, leaves] = [await relay.client({ key: member }), await relay.client({ key: leaver })]
    const ended: string[] = []
    stays.on('closed', () => ended.push('member'))
    leaves.on('closed', () => ended.push('leaver'))
    await sleep(2 * RECHECK_MS)
    expect(ended).toEqual([])
    await runHeadscale('nodes', 'delete', '-i', await nodeId(publicKeyText(leaver.publicKey)), '--force')
    await expect.poll(() => ended, { timeout: RECHECK_MS + 3_000 }).toEqual(['leaver'])
    expect(await isIn(relay, leaver)).toBe(false)
    expect(ended).toEqual(['leaver'])
  })

  it('members come back while Headscale is gone, to a relay that was restarted, until the grace is over', async () => {
    const nodeKey = newKeyPair()
    const before = await startRelay('outage', nodeKey)
    expect(await isIn(before, keys.member)).toBe(true)
    expect(await isIn(before, newKeyPair())).toBe(false)
    const [first, next, doubter] = await startRegion()
    const client = await first.client({ key: keys.member })
    const seen = async (): Promise<number[]> => [...(await next.samples(/^derp_keys_at_siblings/)).values()]
    // The member and the other watcher.
    await expect.poll(seen, { timeout: 10_000 }).toEqual([2])
    // What siblings have is told to the control thread once a second.
    await sleep(3_000)
    await control.server.stop()
    expect(await isIn(before, newKeyPair())).toBe(false)
    const goneMs = performance.now()
    await before[Symbol.asyncDispose]()
    const after = await startRelay('outage', nodeKey)
    // Another relay of the region fails meanwhile: the next one knows its clients, if it is to trust it.
    await first[Symbol.asyncDispose]()
    await client.close()
    expect(await isIn(next, keys.member)).toBe(true)
    expect(await isIn(next, newKeyPair())).toBe(false)
    expect(await isIn(doubter, keys.member)).toBe(false)
    const connected = await after.client({ key: keys.member })
    let isConnected = true
    connected.on('closed', () => (isConnected = false))
    expect(await isIn(after, newKeyPair())).toBe(false)
    const [admittedLastMs, refusedFirstMs] = await changeOf(async () => await isIn(after, keys.member))
    expect((refusedFirstMs - goneMs) / 1_000).toBeGreaterThan(GRACE_MS / 1_000 - 2)
    expect((admittedLastMs - goneMs) / 1_000).toBeLessThan(GRACE_MS / 1_000 + 2)
    // A back end that is away ends nobody's connection.
    expect(isConnected).toBe(true)
  })

  /** Three relays of a region; two of them watch the first one, and one of those takes its word for who is a member. */
  async function startRegion(): Promise<readonly [LiveRelay, LiveRelay, LiveRelay]> {
    const { certPath: certificatePath, keyPath } = await makeCertificate(folder, 'localhost')
    const certificate = { certificatePath, keyPath }
    const ca = await readFile(certificatePath, 'utf8')
    const first = await startRelay('first', newKeyPair(), { certificate })
    const mesh = { ...NO_MESH, siblings: [siblingAt(first.port)], ca }
    const checked = (trustsSiblings: boolean): Partial<Settings> => ({
      mesh,
      certificate,
      admin: { host: '127.0.0.1', port: 0 },
      admission: checkedBy(`${control.url}/verify`, { ...POLICY, trustsSiblings }),
    })
    const next = await startRelay('next', newKeyPair(), checked(true))
    const doubter = await startRelay('doubter', newKeyPair(), checked(false))
    return [first, next, doubter]
  }

  async function runHeadscale(...args: readonly string[]): Promise<string> {
    return await runOk(programs?.headscale ?? '', ['-c', join(folder, 'headscale', 'config.yaml'), ...args])
  }

  async function nodeId(key: string): Promise<string> {
    const nodes = JSON.parse(await runHeadscale('nodes', 'list', '-o', 'json')) as readonly {
      id: number
      node_key: string
    }[]
    return String(nodes.find((node) => node.node_key === key)?.id)
  }
})

/** When something was true last, by the beginning of the look, and when it was not first, by its end. */
async function changeOf(look: () => Promise<boolean>): Promise<readonly [lastMs: number, firstMs: number]> {
  const untilMs = performance.now() + GRACE_MS + 15_000
  let lastMs = -Infinity
  let firstMs = Infinity
  // A single attempt may fail on a busy machine.
  for (let refusals = 0; refusals < 3 && performance.now() < untilMs; await sleep(200)) {
    const beganMs = performance.now()
    if (await look()) [lastMs, firstMs, refusals] = [beganMs, Infinity, 0]
    else if (++refusals === 1) firstMs = performance.now()
  }
  return [lastMs, firstMs]
}
