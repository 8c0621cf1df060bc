// A relay that goes by a lease alone, as a process, and leases that `derpfleet lease` makes from a running Headscale with keys of real
// clients: members, strangers, a prober, a node that is deleted and one whose key has ended.

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { publicKeyText, type KeyPair } from '#protocol/node-key.ts'
import { derpfleet, FREE_PORTS, startDerpfleet } from '../cli/program.ts'
import { probed } from '../probe/probe-program.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { startHeadscale, type Control } from '../support/headscale.ts'
import { runOk, type RunningProcess } from '../support/process.ts'
import { Client } from '../support/tailnet.ts'
import { privateKeyIn } from '../support/tailscaled-state.ts'

const found = await foreignPrograms('headscale', 'tailscale', 'tailscaled')
const programs = 'paths' in found ? found.paths : undefined

/** No relay of it is ever used. */
const DERP_MAP = {
  regions: new Map([[900, { regionid: 900, regioncode: 'none', regionname: 'none', nodes: [] }]]),
}
const SERVING = /DERP +127\.0\.0\.1:(\d+), /

describe.skipIf(programs === undefined)('with Headscale', { timeout: 120_000 }, () => {
  let folder: string
  let control: Control
  let relay: RunningProcess
  const at = (name: string): string => join(folder, name)
  const keys = new Map<string, KeyPair>()
  const prober = newKeyPair()

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lease-'))
    await mkdir(at('headscale'))
    if (programs === undefined) return
    control = await startHeadscale(programs.headscale, at('headscale'), '127.0.0.1', DERP_MAP)
    const names = ['member', 'leaver', 'expired']
    for (const [n, pair] of (await Promise.all(names.map(registered))).entries())
      keys.set(names[n] ?? '', pair)
    await writeFile(at('api.key'), await runHeadscale('apikeys', 'create'))
    await writeFile(at('more.keys'), `allow ${publicKeyText(prober.publicKey)}  # the prober\n`)
    await writeFile(at('prober.key'), formatKeyFile(prober))
    const { stdout } = await derpfleet(['lease', 'keygen', '-o', at('lease.key')])
    await make()
    const lease = ['-lease-file', at('members.lease'), '-lease-key', stdout.trim()]
    const own = [
      '-c',
      at('derper.key'),
      '-state-dir',
      at('state'),
      '-log-format',
      'text',
      '-log-level',
      'debug',
    ]
    relay = await startDerpfleet(['serve', ...FREE_PORTS, ...own, ...lease], { readyWhen: SERVING })
  }, 120_000)

  afterAll(async () => {
    await relay?.stop()
    await control?.server.stop()
    await rm(folder, { recursive: true, force: true })
  })

  /** The key of a client that has registered, and does not run any more. */
  async function registered(name: string): Promise<KeyPair> {
    if (programs === undefined) throw new Error('no programs')
    await using client = await Client.start(name, { folder, programs })
    await client.logIn(control.url, control.authKey)
    return privateKeyIn(await readFile(join(folder, name, 'tailscaled.state'), 'utf8'))
  }

  async function make(
    from = ['-headscale-url', control.url, '-headscale-key-file', at('api.key')],
  ): Promise<void> {
    const args = ['-key', at('lease.key'), '-keys-file', at('more.keys'), '-o', at('members.lease'), ...from]
    const made = await derpfleet(['lease', 'make', ...args])
    expect(made, made.stderr).toMatchObject({ code: 0 })
  }

  async function runHeadscale(...args: readonly string[]): Promise<string> {
    return await runOk(programs?.headscale ?? '', ['-c', at('headscale/config.yaml'), ...args])
  }

  async function nodeId(name: string): Promise<string> {
    const key = publicKeyText(keyOf(name).publicKey)
    const nodes = JSON.parse(await runHeadscale('nodes', 'list', '-o', 'json')) as readonly {
      id: number
      node_key: string
    }[]
    return String(nodes.find((node) => node.node_key === key)?.id)
  }

  function keyOf(name: string): KeyPair {
    const key = keys.get(name)
    if (key === undefined) throw new Error(`no key of ${name}`)
    return key
  }

  const port = (): number => Number(SERVING.exec(relay.output)?.[1])

  async function logIn(key: KeyPair): Promise<DerpClient> {
    return await DerpClient.connect({ host: '127.0.0.1', port: port(), tls: false, key })
  }

  const isIn = async (key: KeyPair): Promise<boolean> =>
    await logIn(key).then(
      async (client) => {
        await client.close()
        return true
      },
      () => false,
    )

  it('members are in, and strangers are not, while Headscale is gone', async () => {
    await control.server.stop()
    expect(await isIn(keyOf('member'))).toBe(true)
    expect(await isIn(keyOf('leaver'))).toBe(true)
    expect(await isIn(newKeyPair())).toBe(false)
    control = await control.restart()
  })

  it('a prober with a key of the lease is in, and one without is not', async () => {
    const target = [`http://127.0.0.1:${port()}`, '-stun-port', '-1']
    const inside = await probed([...target, '-key-file', at('prober.key')])
    expect([inside.code, inside.named('fail')]).toEqual([0, []])
    expect(inside.named('ok')).toEqual(
      expect.arrayContaining(['login 4', 'ping', 'packet', 'full-packet', 'websocket']),
    )
    const outside = await probed(target)
    expect(outside.named('fail')).toEqual(['login 4'])
    expect(outside.textOf('login 4')).toContain('-key-file')
  })

  it('who is deleted or has ended in Headscale is off the relay with the next lease', async () => {
    const [member, leaver, expired] = await Promise.all(
      ['member', 'leaver', 'expired'].map(async (name) => await logIn(keyOf(name))),
    )
    const ended: string[] = []
    member?.on('closed', () => ended.push('member'))
    leaver?.on('closed', () => ended.push('leaver'))
    expired?.on('closed', () => ended.push('expired'))
    await runHeadscale('nodes', 'delete', '-i', await nodeId('leaver'), '--force')
    await runHeadscale('nodes', 'expire', '-i', await nodeId('expired'))
    // As `headscale nodes list -o json | derpfleet lease make -headscale-nodes -` does.
    await writeFile(at('nodes.json'), await runHeadscale('nodes', 'list', '-o', 'json'))
    await make(['-headscale-nodes', at('nodes.json'), '-tenant-by', 'user'])
    await expect.poll(() => ended.toSorted(), { timeout: 10_000 }).toEqual(['expired', 'leaver'])
    expect(await readFile(at('members.lease'), 'utf8')).toMatch(/ tenant lab /)
    expect(await isIn(keyOf('leaver'))).toBe(false)
    expect(await isIn(keyOf('expired'))).toBe(false)
    expect(await isIn(keyOf('member'))).toBe(true)
    // The API says the same.
    await make()
    expect(await readFile(at('members.lease'), 'utf8')).not.toContain(
      publicKeyText(keyOf('expired').publicKey),
    )
    expect(await isIn(keyOf('member'))).toBe(true)
    await member?.close()
  })
})
