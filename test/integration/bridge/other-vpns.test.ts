// Real OpenVPN and strongSwan over the relay, between two hosts that have no other way to each other. The configurations are those of
// docs/bridge.md.

import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { foreign } from '../../support/foreign.ts'
import { canMakeNetworks } from '../../support/network.ts'
import { runOk, waitUntil, type RunningProcess } from '../../support/process.ts'
import { findOnPath } from '../../support/system-program.ts'
import type { LabEnd } from '../../support/vpn-lab.ts'
import { LabRelay } from './lab-relay.ts'
import { firstPing, pausedBy, Pings, say, transfer } from './measures.ts'

const hasPing = (await canMakeNetworks()) && (await findOnPath('ping')) !== undefined
const openvpn = await foreign('openvpn')
const strongswan = await foreign('strongswan')
const hasOpenvpn = hasPing && 'path' in openvpn
const hasStrongswan = hasPing && 'path' in strongswan && (await findOnPath('swanctl')) !== undefined
if (!hasOpenvpn) process.stderr.write('SKIPPING OpenVPN by bridge: it needs root, ping and openvpn\n')
if (!hasStrongswan) process.stderr.write('SKIPPING IPsec by bridge: it needs root, ping and strongSwan\n')
process.stderr.write('SKIPPING ZeroTier by bridge: no package registry has it\n')

let relay: LabRelay | undefined

afterEach(async () => {
  await relay?.[Symbol.asyncDispose]()
  relay = undefined
})

const SIDES: readonly LabEnd[] = ['alice', 'bob']

/** A relay, and a bridge on each side with these lines for its only peer. */
async function bridged(lines: Readonly<Record<LabEnd, readonly string[]>>): Promise<{
  it: LabRelay
  restart: (end: LabEnd) => Promise<void>
  bridges: Partial<Record<LabEnd, RunningProcess>>
}> {
  const it = await LabRelay.make()
  relay = it
  const keys = { alice: newKeyPair(), bob: newKeyPair() }
  const bridges: Partial<Record<LabEnd, RunningProcess>> = {}
  const configOf = (end: LabEnd): string => join(it.folder, `${end}.yaml`)
  for (const end of SIDES) {
    const other = end === 'alice' ? 'bob' : 'alice'
    const keyPath = join(it.folder, `${end}.key`)
    await writeFile(keyPath, formatKeyFile(keys[end]), { mode: 0o600 })
    const peer = [`name: ${other}`, `key: ${publicKeyText(keys[other].publicKey)}`, ...lines[end]]
    await writeFile(configOf(end), `key-file: ${keyPath}\npeers:\n  - ${peer.join('\n    ')}\n`)
    bridges[end] = await it.startBridge(end, configOf(end))
  }
  const restart = async (end: LabEnd): Promise<void> => {
    bridges[end]?.signal('SIGKILL')
    await bridges[end]?.exited
    bridges[end] = await it.startBridge(end, configOf(end))
  }
  return { it, restart, bridges }
}

describe.skipIf(!hasOpenvpn)('OpenVPN', () => {
  const SERVER = '198.19.9.1'

  test(
    '100 MB arrive equal, the MTU stays 1500, and restarts cost three seconds',
    { timeout: 180_000 },
    async () => {
      const { it, restart, bridges } = await bridged({
        alice: ['listen: 127.0.0.1:51830'],
        bob: ['vpn: 127.0.0.1:1194'],
      })
      const program = 'path' in openvpn ? openvpn.path : ''
      const { client, server } = await openvpnConfigs(it.folder)
      await it.lab.start(
        'bob',
        { readyWhen: /Initialization Sequence Completed/ },
        program,
        '--config',
        server,
      )
      const started = await it.lab.start(
        'alice',
        { readyWhen: /Sequence Completed/ },
        program,
        '--config',
        client,
      )
      await firstPing(it.lab, SERVER)
      await it.lab.run('alice', 'ping', '-c', '1', '-W', '2', '-M', 'do', '-s', '1472', SERVER)
      const { isEqual, ms } = await transfer(it.lab, SERVER, 100_000_000)
      expect(isEqual).toBe(true)
      say(`100 MB by OpenVPN and the relay in ${(ms / 1_000).toFixed(1)} s`)
      const pings = await Pings.start(it.lab, SERVER)
      const paused = async (what: string, action: () => Promise<void>): Promise<void> => {
        expect(await pausedBy(pings, what, action)).toBeLessThanOrEqual(3)
      }
      await paused('OpenVPN connects anew', async () => started.signal('SIGUSR1'))
      await paused("alice's bridge is killed", async () => await restart('alice'))
      await paused("bob's bridge is killed", async () => await restart('bob'))
      await paused('the relay is killed', async () => await it.restart())
      await it.lab.setDirect(true)
      await paused("alice's bridge is killed, and there is a direct way", async () => await restart('alice'))
      await waitUntil('packets go directly', () => bridges.alice?.output.includes('go directly') === true)
      await paused('OpenVPN connects anew, directly', async () => started.signal('SIGUSR1'))
      expect((await transfer(it.lab, SERVER, 20_000_000)).isEqual).toBe(true)
      await pings.stop()
    },
  )

  /** Fingerprints of the two certificates, no authority. */
  async function openvpnConfigs(folder: string): Promise<{ client: string; server: string }> {
    const prints: Record<string, string> = {}
    for (const end of SIDES) {
      const files = ['-keyout', join(folder, `${end}.ovpn.key`), '-out', join(folder, `${end}.ovpn.crt`)]
      const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
      await runOk('openssl', ['req', '-x509', ...key, ...files, '-days', '30', '-subj', `/CN=${end}`])
      const print = ['x509', '-in', join(folder, `${end}.ovpn.crt`), '-noout', '-fingerprint', '-sha256']
      prints[end] = (await runOk('openssl', print)).trim().split('=')[1] ?? ''
    }
    const common = (end: LabEnd, other: LabEnd): string =>
      `cert ${folder}/${end}.ovpn.crt\nkey ${folder}/${end}.ovpn.key\n` +
      `<peer-fingerprint>\n${prints[other]}\n</peer-fingerprint>\nproto udp\ndev tun9\nverb 3\n`
    const [client, server] = [join(folder, 'client.ovpn'), join(folder, 'server.ovpn')]
    await writeFile(client, `client\nremote 127.0.0.1 51830\nnobind\n${common('alice', 'bob')}`)
    await writeFile(
      server,
      `topology subnet\nserver 198.19.9.0 255.255.255.0\nlocal 127.0.0.1\nport 1194\nkeepalive 5 20\ndh none\n${common('bob', 'alice')}`,
    )
    return { client, server }
  }
})

describe.skipIf(!hasStrongswan)('IPsec by strongSwan', () => {
  const INSIDE = { alice: '198.19.7.1', bob: '198.19.7.2' } as const

  test(
    'a child passes pings and 20 MB, and so it does after rekeying both',
    { timeout: 180_000 },
    async () => {
      const peer = ['listen: 127.0.0.1:51830', 'vpn: 127.0.0.1:4500', 'flows: 1']
      const { it } = await bridged({ alice: peer, bob: peer })
      for (const end of SIDES) await it.lab.run(end, 'ip', 'addr', 'add', `${INSIDE[end]}/32`, 'dev', 'lo')
      const charons = { alice: await charon(it, 'alice'), bob: await charon(it, 'bob') }
      const swanctl = async (end: LabEnd, ...args: string[]): Promise<string> =>
        await runOk('nsenter', ['-t', `${charons[end].pid}`, '-m', '-n', 'swanctl', ...args])
      for (const end of SIDES) {
        await waitUntil('charon answers', async () => (await swanctl(end, '--stats')).includes('uptime'))
        await swanctl(end, '--load-all')
      }
      await swanctl('alice', '--initiate', '--child', 'net')
      const ping = ['-c', '3', '-i', '0.2', '-W', '2', '-I', INSIDE.alice, INSIDE.bob]
      await it.lab.run('alice', 'ping', ...ping)
      for (const what of [
        ['--child', 'net'],
        ['--ike', 'lab'],
      ]) {
        await swanctl('alice', '--rekey', ...what)
        await sleep(1_000)
        await it.lab.run('alice', 'ping', ...ping)
      }
      const { isEqual, ms } = await transfer(it.lab, INSIDE.bob, 20_000_000)
      expect(isEqual).toBe(true)
      say(`20 MB by strongSwan and the relay in ${(ms / 1_000).toFixed(1)} s`)
    },
  )

  /** charon with its files in a mount namespace of its own: their places are fixed. */
  async function charon(it: LabRelay, end: LabEnd): Promise<RunningProcess> {
    const folder = join(it.folder, `ike-${end}`)
    await mkdir(join(folder, 'swanctl'), { recursive: true })
    const page = await readFile(new URL('./swanctl.conf', import.meta.url), 'utf8')
    const other = end === 'alice' ? 'bob' : 'alice'
    const words = { OWN_ID: end, OTHER_ID: other, OWN_ADDRESS: INSIDE[end], OTHER_ADDRESS: INSIDE[other] }
    const config = Object.entries(words).reduce((text, [word, value]) => text.replaceAll(word, value), page)
    await writeFile(join(folder, 'swanctl/swanctl.conf'), config)
    await writeFile(
      join(folder, 'strongswan.conf'),
      await readFile(new URL('./strongswan.conf', import.meta.url)),
    )
    const run = join(folder, 'run.sh')
    await writeFile(
      run,
      `#!/bin/sh -e
mount -t tmpfs none /run
mount --bind ${folder}/swanctl /etc/swanctl
export STRONGSWAN_CONF=${folder}/strongswan.conf
echo started
exec /usr/lib/ipsec/charon
`,
    )
    await chmod(run, 0o755)
    return await it.lab.start(end, { readyWhen: /started/ }, run)
  }
})
