// OpenVPN between the two hosts of a lab, by their bridges: the configurations of docs/bridge.md.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runOk, type RunningProcess } from '../../support/process.ts'
import type { LabEnd } from '../../support/vpn-lab.ts'
import type { LabRelay } from './lab-relay.ts'

/** Of the bridges' configurations. */
export const OPENVPN_LINES = { alice: ['listen: 127.0.0.1:51830'], bob: ['vpn: 127.0.0.1:1194'] } as const
/** In the tunnel. */
export const OPENVPN_SERVER = '198.19.9.1'

/** Alice is the client, bob the server. Returns when they are connected. */
export async function startOpenvpn(
  { lab, folder }: LabRelay,
  program: string,
): Promise<{ readonly client: RunningProcess; readonly server: RunningProcess }> {
  const paths = await openvpnConfigs(folder)
  const readyWhen = /Initialization Sequence Completed/
  const server = await lab.start('bob', { readyWhen }, program, '--config', paths.server)
  const client = await lab.start('alice', { readyWhen }, program, '--config', paths.client)
  return { client, server }
}

/** Fingerprints of the two certificates, no authority. */
async function openvpnConfigs(folder: string): Promise<{ client: string; server: string }> {
  const prints: Record<string, string> = {}
  for (const end of ['alice', 'bob'] as const) {
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
