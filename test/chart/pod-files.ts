// The files that a relay's pod of the Helm chart has, in a folder of this machine: settings as the chart makes them, and
// keys and certificates as an operator gives them in Secrets. Starts nothing.

import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { parse } from 'yaml'
import type { TemporaryFolder } from '../config/temporary-folder.ts'
import { issueCertificate, makeAuthority } from '../support/certificate.ts'
import { NatsOperator } from '../support/nats-credentials.ts'

/** Data of the chart's ConfigMap: a settings file for each relay, and the regions file. */
type SettingsData = Readonly<Record<string, string>>

/** The paths in a pod of the text, as paths in the folder. */
export function inFolder(folder: TemporaryFolder, text: string): string {
  return text
    .replaceAll('/etc/derpfleet/', `${folder.path}/etc/`)
    .replaceAll(/(?<![\w/])\/data\//g, `${folder.path}/data/`)
}

/** Names of the settings files of relays. */
export function relayFiles(settings: SettingsData): readonly string[] {
  return Object.keys(settings).filter((name) => name !== 'regions.yaml')
}

/** Certificates are for the host names in the settings, signed by an authority that siblings trust. */
export async function writePodFiles(folder: TemporaryFolder, settings: SettingsData): Promise<void> {
  for (const [name, text] of Object.entries(settings)) {
    folder.write(`etc/settings/${name}`, inFolder(folder, text))
  }
  for (const name of ['etc/certs', 'etc/keys', 'etc/mesh-ca', 'data']) mkdirSync(folder.at(name))
  folder.write('etc/mesh/mesh.key', `${'1f'.repeat(32)}\n`)
  folder.write('etc/nats/nats.secret', '2f'.repeat(32))
  folder.write('etc/nats/relay.creds', new NatsOperator().credentials())
  const mapKey = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' })
  folder.write('etc/map-key/map.key', mapKey.toString())
  const authority = await makeAuthority(folder.at('etc/mesh-ca'), 'ca')
  folder.write('etc/nats/ca.crt', readFileSync(authority.certPath, 'utf8'))
  for (const file of relayFiles(settings)) {
    const { hostname, node } = parse(settings[file] ?? '') as {
      readonly hostname: string
      readonly node: string
    }
    await issueCertificate(folder.at('etc/certs'), hostname, authority)
    folder.write(`etc/keys/${node}.key`, nodeKey())
  }
}

function nodeKey(): string {
  const { d = '' } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' })
  return JSON.stringify({ PrivateKey: `privkey:${Buffer.from(d, 'base64url').toString('hex')}` })
}
