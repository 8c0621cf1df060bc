// What `derpfleet serve -quick-start` prints once the relay runs: the DERP map entry for Headscale, and commands that show
// that the relay works. The defaults of the quick start are in config/quick-start-presets.ts.

import { endpointText, isEveryAddress } from '#config/endpoint.ts'
import { STUN_PORT } from '#protocol/default-ports.ts'
import type { Endpoint } from '#config/endpoint.ts'
import type { Settings } from '#config/settings.ts'
import { ownRegion } from '#control/own-entry.ts'
import type { RelayAddresses } from '#control/relay-addresses.ts'
import { derpMapText } from '#fleet/derp-map-writer.ts'

/** What to paste where, and how to check that the relay works. */
export function quickStartText(settings: Settings, addresses: RelayAddresses): string {
  const { derp, stun, admin } = addresses
  const host = isEveryAddress(derp.host) ? '127.0.0.1' : derp.host
  const own = ownRegion(settings, { derp: { ...derp, host }, stun })
  const entry = { ...own, code: 'quick', name: 'quick start' }
  const pin = own.nodes[0]?.certName
  return [
    '',
    'To use it with Headscale on this machine, save this as derp.yaml, and in config.yaml',
    'set derp.urls to [] and derp.paths to [derp.yaml]:',
    '',
    indented(derpMapText('headscale', [entry])),
    'To check that it works:',
    '',
    `  bin/derpfleet probe ${probeArguments({ host, port: derp.port }, stun, pin)}`,
    ...(admin === undefined ? [] : [`  curl http://${admin.host}:${admin.port}/metrics`]),
    '  tailscale netcheck; tailscale debug derp quick',
    '',
    'Ctrl-C stops it.',
    '',
  ].join('\n')
}

/** The arguments of the probe, without those that have its defaults. */
function probeArguments(derp: Endpoint, stun: Endpoint | undefined, pin: string | undefined): string {
  const stunPort = stun?.port ?? -1
  return [
    endpointText(derp),
    ...(stunPort === STUN_PORT ? [] : [`-stun-port=${stunPort}`]),
    ...(pin === undefined ? [] : [pin]),
  ].join(' ')
}

function indented(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '  ')
}
