// Two unmodified tailscaled with interfaces of their own, on alice and bob of a lab: by the lab's relay alone, or directly where the lab
// lets them.

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { runOk, waitUntil, type RunningProcess } from '../../test/support/process.ts'
import { MIDDLE, type LabEnd } from '../../test/support/vpn-lab.ts'
import type { LabRelay } from '../../test/integration/bridge/lab-relay.ts'

export interface Tailscale {
  readonly alice: RunningProcess
  readonly bob: RunningProcess
  readonly bobAddress: string
  /** Resolves when packets to bob take a direct way. */
  readonly waitForDirect: () => Promise<void>
}

export interface TailscalePrograms {
  readonly tailscale: string
  readonly tailscaled: string
  readonly testcontrol: string
}

const CONTROL = `${MIDDLE}:8080`
const PUT = `fetch('http://${CONTROL}/derpmap', { method: 'PUT', body: process.argv[1] }).then((r) => r.ok || process.exit(1))`

export async function startTailscale(
  relay: LabRelay,
  programs: TailscalePrograms,
  isDirect: boolean,
): Promise<Tailscale> {
  const { lab } = relay
  await lab.start('middle', { readyWhen: /listening/ }, programs.testcontrol, CONTROL)
  const node = {
    Name: '900a',
    RegionID: 900,
    HostName: 'relay.lab',
    IPv4: MIDDLE,
    CertName: relay.pin,
    STUNPort: 3478,
  }
  const region = { RegionID: 900, RegionCode: 'lab', RegionName: 'lab', Nodes: [node] }
  await lab.run('middle', process.execPath, '-e', PUT, JSON.stringify({ Regions: { 900: region } }))
  const socketOf = (end: LabEnd): string => join(relay.folder, `ts-${end}`, 'socket')
  const start = async (end: LabEnd): Promise<RunningProcess> => {
    const folder = join(relay.folder, `ts-${end}`)
    await mkdir(folder)
    const args = [
      `--statedir=${folder}`,
      `--socket=${socketOf(end)}`,
      '--port=0',
      `--tun=ts${end}`,
      '--no-logs-no-support',
    ]
    const env = isDirect ? {} : { TS_DEBUG_ALWAYS_USE_DERP: '1' }
    const daemon = await lab.start(end, { env }, programs.tailscaled, ...args)
    const up = [
      'up',
      `--login-server=http://${CONTROL}`,
      `--hostname=${end}`,
      '--netfilter-mode=off',
      '--accept-dns=false',
    ]
    await waitUntil(`${end} is up`, async () => {
      await runOk(programs.tailscale, [`--socket=${socketOf(end)}`, ...up], { timeoutMs: 20_000 })
      return true
    })
    return daemon
  }
  const [alice, bob] = [await start('alice'), await start('bob')]
  const bobAddress = (await runOk(programs.tailscale, [`--socket=${socketOf('bob')}`, 'ip', '-4'])).trim()
  const ping = [`--socket=${socketOf('alice')}`, 'ping', '--c=20', '--timeout=2s', bobAddress]
  const waitForDirect = async (): Promise<void> => {
    await waitUntil(
      'packets go directly',
      async () => (await runOk(programs.tailscale, ping, { timeoutMs: 60_000 })).includes(' via 198.18.'),
      90_000,
    )
  }
  return { alice, bob, bobAddress, waitForDirect }
}
