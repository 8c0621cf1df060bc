// strongSwan between the two hosts of a lab, by their bridges: the configuration of docs/bridge.md.

import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runOk, waitUntil, type RunningProcess } from '../../support/process.ts'
import type { LabEnd } from '../../support/vpn-lab.ts'
import type { LabRelay } from './lab-relay.ts'

const LINES = ['listen: 127.0.0.1:51830', 'vpn: 127.0.0.1:4500', 'flows: 1']
/** Of the bridges' configurations. */
export const STRONGSWAN_LINES = { alice: LINES, bob: LINES } as const
/** In the tunnel. */
export const STRONGSWAN_INSIDE = { alice: '198.19.7.1', bob: '198.19.7.2' } as const

export interface Strongswan {
  readonly charons: Readonly<Record<LabEnd, RunningProcess>>
  readonly swanctl: (end: LabEnd, ...args: readonly string[]) => Promise<string>
}

/** Returns when alice has brought up the child. */
export async function startStrongswan(relay: LabRelay): Promise<Strongswan> {
  const ends = ['alice', 'bob'] as const
  for (const end of ends)
    await relay.lab.run(end, 'ip', 'addr', 'add', `${STRONGSWAN_INSIDE[end]}/32`, 'dev', 'lo')
  const charons = { alice: await charon(relay, 'alice'), bob: await charon(relay, 'bob') }
  const swanctl = async (end: LabEnd, ...args: readonly string[]): Promise<string> =>
    await runOk('nsenter', ['-t', `${charons[end].pid}`, '-m', '-n', 'swanctl', ...args])
  for (const end of ends) {
    await waitUntil('charon answers', async () => (await swanctl(end, '--stats')).includes('uptime'))
    await swanctl(end, '--load-all')
  }
  await swanctl('alice', '--initiate', '--child', 'net')
  return { charons, swanctl }
}

/** charon with its files in a mount namespace of its own: their places are fixed. */
async function charon(it: LabRelay, end: LabEnd): Promise<RunningProcess> {
  const folder = join(it.folder, `ike-${end}`)
  await mkdir(join(folder, 'swanctl'), { recursive: true })
  const page = await readFile(new URL('./swanctl.conf', import.meta.url), 'utf8')
  const other = end === 'alice' ? 'bob' : 'alice'
  const words = {
    OWN_ID: end,
    OTHER_ID: other,
    OWN_ADDRESS: STRONGSWAN_INSIDE[end],
    OTHER_ADDRESS: STRONGSWAN_INSIDE[other],
  }
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
