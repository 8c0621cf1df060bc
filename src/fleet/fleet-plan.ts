// What a fleet's hosts, DNS and firewalls need, as files in the forms of systemd, Ansible, Helm and Terraform. A function of
// the fleet's file and of the settings that all relays share; the command is cli/render.ts. For Terraform it is what
// the module deploy/terraform/modules/fleet gives, byte for byte.

import { Document, Scalar, visit } from 'yaml'
import type { Json } from './canonical-json.ts'
import { derpMapText } from './derp-map-writer.ts'
import { dnsRecords, DNS_TTL_SECONDS, fleetRelays, type FleetRelay } from './fleet-relays.ts'
import { fileMap } from './live-map.ts'
import type { Region } from './region.ts'
import { regionsFileContent } from './regions-file-writer.ts'
import {
  relaySettings,
  SETTINGS_PATH,
  settingsText,
  unitDropIn,
  type RelaySettings,
} from './relay-settings.ts'

export const PlanForm = {
  terraform: 'terraform',
  helm: 'helm',
  systemd: 'systemd',
  'ansible-inventory': 'ansible-inventory',
} as const
export type PlanForm = (typeof PlanForm)[keyof typeof PlanForm]

export interface PlanFile {
  /** Relative, with `/`. */
  readonly path: string
  readonly text: string
}

export interface PlanRequest {
  readonly regions: readonly Region[]
  readonly common: RelaySettings
  /** One relay's part only, by any of its nodes' names. */
  readonly node: string | undefined
}

/** Undefined: the fleet's file has no node of that name. */
export function fleetPlan(form: PlanForm, request: PlanRequest): readonly PlanFile[] | undefined {
  const all = fleetRelays(request.regions)
  const { node } = request
  const relays = node === undefined ? all : all.filter(({ nodes }) => nodes.includes(node))
  return relays.length === 0 ? undefined : FORMS[form](relays, request)
}

type FormWriter = (relays: readonly FleetRelay[], request: PlanRequest) => readonly PlanFile[]

const FORMS: Readonly<Record<PlanForm, FormWriter>> = {
  terraform: (relays, { regions, common }) => [
    {
      path: 'fleet.auto.tfvars.json',
      text: `${JSON.stringify({ fleet: terraformFleet(relays, regions, common) }, null, 2)}\n`,
    },
  ],
  helm: helmValues,
  systemd: systemdFiles,
  'ansible-inventory': (relays, { common }) => [
    { path: 'inventory.yaml', text: yamlText(inventory(relays, common)) },
  ],
}

/** Texts in quotes, so that no reader takes one for something else; whole files as blocks, so that people can read them. */
function yamlText(content: unknown): string {
  const document = new Document(content)
  visit(document, {
    Scalar(key, node) {
      if (key === 'key' || typeof node.value !== 'string') return
      node.type = node.value.includes('\n') ? Scalar.BLOCK_LITERAL : Scalar.QUOTE_DOUBLE
    },
  })
  return document.toString({ lineWidth: 0, doubleQuotedAsJSON: true })
}

/** A folder for each host, to copy to its root, and what DNS and firewalls need. */
function systemdFiles(relays: readonly FleetRelay[], { common }: PlanRequest): readonly PlanFile[] {
  const hosts = relays.flatMap((relay) => {
    const settings = settingsText(relay, relaySettings(relay, common))
    const dropIn = unitDropIn(relay)
    const files = [{ path: `${relay.name}${SETTINGS_PATH}`, text: settings }]
    if (dropIn === undefined) return files
    return [
      ...files,
      { path: `${relay.name}/etc/systemd/system/derpfleet.service.d/fleet.conf`, text: dropIn },
    ]
  })
  const dns = { path: 'dns.zone', text: zoneText(relays) }
  const mesh = { path: 'mesh.txt', text: meshText(relays) }
  return [...hosts, dns, ...(mesh.text === '' ? [] : [mesh])]
}

/** Lines of a zone file. */
function zoneText(relays: readonly FleetRelay[]): string {
  return dnsRecords(relays)
    .flatMap(({ name, type, addresses }) =>
      addresses.map((address) => `${name}. ${DNS_TTL_SECONDS} IN ${type} ${address}\n`),
    )
    .join('')
}

/** Who connects to whom: what firewalls between relays must let through. */
function meshText(relays: readonly FleetRelay[]): string {
  return relays
    .flatMap(({ name, siblings }) =>
      siblings.map(
        (one) =>
          `${name} connects to ${one.name} at ${one.host}, TCP port ${one.port}${one.isInside ? ', same region' : ''}\n`,
      ),
    )
    .join('')
}

/** A file for each region with one of these relays: each is a release of its own. */
function helmValues(relays: readonly FleetRelay[], { regions }: PlanRequest): readonly PlanFile[] {
  const ids = new Set(relays.map((relay) => relay.regions[0] ?? 0))
  const content = new Map(
    Object.entries(regionsFileContent(regions)).map(([id, region]) => [Number(id), region]),
  )
  return [...ids].map((id) => {
    // The mesh key is no part of the fleet's file: a Secret that every cluster of the fleet has. The chart wants one of a fleet of
    // one relay, too, which a second one may join.
    const mesh = { existingSecret: 'derpfleet-mesh' }
    const values = yamlText({ region: id, mesh, regions: content })
    const about = `# Region ${id} for the chart deploy/helm/derpfleet. Add who may use the relays (admission).\n`
    return { path: `values-${id}.yaml`, text: about + values }
  })
}

/** A group for each region, and a host for each relay, which is in the groups of all its regions. */
function inventory(relays: readonly FleetRelay[], common: RelaySettings): unknown {
  const ids = [...new Set(relays.flatMap(({ regions }) => regions))]
  const groups = ids.map((id) => {
    const hosts = relays.filter(({ regions }) => regions.includes(id))
    const entries = hosts.map((relay) => [
      relay.name,
      relay.regions[0] === id ? inventoryHost(relay, common) : {},
    ])
    return [`region_${id}`, { hosts: Object.fromEntries(entries) as unknown }]
  })
  return { all: { children: { derpfleet: { children: Object.fromEntries(groups) as unknown } } } }
}

function inventoryHost(relay: FleetRelay, common: RelaySettings): unknown {
  const dropIn = unitDropIn(relay)
  return {
    ansible_host: relay.hostname,
    derpfleet_region: relay.regions[0],
    derpfleet_settings: settingsText(relay, relaySettings(relay, common)),
    ...(dropIn === undefined ? {} : { derpfleet_drop_in: dropIn }),
    derpfleet_dns: dnsRecords([relay]),
    derpfleet_siblings: dialled(relay),
  }
}

/** The outputs of Terraform's module, under the names that they have there. */
function terraformFleet(
  relays: readonly FleetRelay[],
  regions: readonly Region[],
  common: RelaySettings,
): Json {
  const map = fileMap(regions)
  const nodes = relays.map(
    (relay) => [relay.name, terraformNode(relay, relaySettings(relay, common))] as const,
  )
  const dns = dnsRecords(relays).map(
    ({ name, type, addresses }) =>
      [`${name} ${type}`, { name, type, ttl: DNS_TTL_SECONDS, addresses }] as const,
  )
  return {
    derp_map: derpMapText('json', map),
    headscale: derpMapText('headscale', map),
    policy: derpMapText('policy', map),
    nodes: Object.fromEntries(nodes),
    dns: Object.fromEntries(dns),
    mesh: Object.fromEntries(relays.map((relay) => [relay.name, dialled(relay)])),
  }
}

function terraformNode(relay: FleetRelay, settings: RelaySettings): Json {
  return {
    name: relay.name,
    nodes: relay.nodes,
    regions: relay.regions,
    hostname: relay.hostname,
    ipv4: relay.ipv4 ?? null,
    ipv6: relay.ipv6 ?? null,
    derp_port: relay.derpPort,
    stun_port: relay.stunPort ?? null,
    settings,
    settings_yaml: settingsText(relay, settings),
    unit_drop_in: unitDropIn(relay) ?? null,
  }
}

/** Its siblings by name. */
function dialled({ siblings }: FleetRelay): Json {
  return Object.fromEntries(
    siblings.map(({ name, host, port, isInside }) => [name, { host, port, same_region: isInside }]),
  )
}
