// The settings file and the unit drop-in of a relay, from the fleet's file and from settings that the operator gives to all
// relays. Terraform's module writes the same bytes (deploy/terraform/modules/fleet), so the form is one that any
// language can write: a line for each option, sorted, with its value in JSON.

import { DERP_PORT, STUN_PORT } from '#protocol/default-ports.ts'
import { canonicalJson } from './canonical-json.ts'
import type { FleetRelay } from './fleet-relays.ts'

/** A value in a settings file. */
export type SettingValue = string | number | boolean | readonly (string | number)[]
export type RelaySettings = Readonly<Record<string, SettingValue>>

/** Where systemd's service finds its files; docs/systemd.md. */
const FOLDER = '/etc/derpfleet'
export const SETTINGS_PATH = `${FOLDER}/derpfleet.yaml`
export const REGIONS_PATH = `${FOLDER}/regions.yaml`
const STATE = '/var/lib/derpfleet'
const CREDENTIALS = '/run/credentials/derpfleet.service'

/** The fleet's file says these of each relay, so no settings for all relays may. */
export const SETTINGS_OF_THE_FILE = ['hostname', 'node', 'region', 'stun', 'stun-port'] as const

/** A relay on a public address does not start without one of them. */
const ADMISSION_SETTINGS = [
  'open-relay',
  'verify-client-url',
  'verify-clients',
  'allow-keys-file',
  'lease-file',
] as const

export function hasAdmission(settings: RelaySettings): boolean {
  return ADMISSION_SETTINGS.some((name) => settings[name] !== undefined && settings[name] !== false)
}

/** The settings of a relay; those for all relays win over what is the usual place of a file. */
export function relaySettings(relay: FleetRelay, common: RelaySettings): RelaySettings {
  const isMeshed = relay.siblings.length > 0
  return {
    listen: `:${relay.derpPort}`,
    'key-file': `${STATE}/derper.key`,
    'regions-file': REGIONS_PATH,
    ...certificateSettings(relay),
    // systemd hands over the key, which only root can read.
    ...(isMeshed ? { 'mesh-psk-file': `${CREDENTIALS}/mesh.key` } : {}),
    // Without another relay in the region, idle clients choose another region first; they measure every 20 to 26 s.
    ...(isMeshed && relay.isAlone ? { 'drain-settle': '30s' } : {}),
    ...composed(common),
    hostname: relay.hostname,
    ...(relay.isAmbiguous ? { node: relay.name } : {}),
    ...stunSettings(relay),
  }
}

/** Texts as Terraform reads them (NFC). */
function composed(settings: RelaySettings): RelaySettings {
  const text = <T>(value: T): T | string => (typeof value === 'string' ? value.normalize('NFC') : value)
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.map(text) : text(value),
    ]),
  )
}

/** A certificate that is pinned is a file; others come from the default authority, also where the port is not 443. */
function certificateSettings({ certName, derpPort }: FleetRelay): RelaySettings {
  if (certName?.startsWith('sha256-raw:')) return { certmode: 'manual', certdir: `${FOLDER}/certs` }
  return derpPort === DERP_PORT ? {} : { certmode: 'letsencrypt' }
}

function stunSettings({ stunPort }: FleetRelay): RelaySettings {
  if (stunPort === undefined) return { stun: false }
  return stunPort === STUN_PORT ? {} : { 'stun-port': stunPort }
}

/** The text of the file at SETTINGS_PATH. */
export function settingsText({ name }: FleetRelay, settings: RelaySettings): string {
  const lines = Object.keys(settings)
    .toSorted()
    .map((key) => `${key}: ${canonicalJson(settings[key] ?? '')}\n`)
  const hint = hasAdmission(settings) ? '' : ADMISSION_HINT
  return `# Settings of the relay ${name}, made from the fleet's file. Edit that file, and make this one anew.\n${lines.join('')}${hint}`
}

const ADMISSION_HINT =
  '# Who may use the relay? Add verify-client-url, verify-clients, allow-keys-file, lease-file or open-relay; it does not start without one of them.\n'

/** The text of /etc/systemd/system/derpfleet.service.d/fleet.conf; undefined: the unit is right as it is. */
export function unitDropIn({ name, siblings }: FleetRelay): string | undefined {
  if (siblings.length === 0) return undefined
  return `# The mesh key of the relay ${name}, which only root can read.\n[Service]\nLoadCredential=mesh.key:${FOLDER}/mesh.key\n`
}
