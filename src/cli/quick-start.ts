// What `derpfleet serve -quick-start` prints once the relay runs: the DERP map entry for Headscale, and commands that show
// that the relay works. The defaults of the quick start are in config/quick-start-presets.ts.

import { isIPv4, isIPv6 } from 'node:net'
import { X509Certificate } from 'node:crypto'
import { endpointText, isEveryAddress } from '#config/endpoint.ts'
import { STUN_PORT } from '#fleet/node.ts'
import { OWN_REGION_MIN, type Region } from '#fleet/region.ts'
import { parseCertificate, selfSignedPin } from '#config/certificate-check.ts'
import { readCertificateFile } from '#config/certificate-files.ts'
import type { Endpoint } from '#config/endpoint.ts'
import type { Settings } from '#config/settings.ts'
import type { RelayAddresses } from '#control/relay-addresses.ts'
import { derpMapText } from '#fleet/derp-map-writer.ts'

/** What to paste where, and how to check that the relay works. */
export function quickStartText(settings: Settings, addresses: RelayAddresses): string {
  const { derp, stun, admin } = addresses
  const { certificate } = settings
  const pin = certificate === undefined ? undefined : pinOfFile(certificate.certificatePath)
  const host = isEveryAddress(derp.host) ? '127.0.0.1' : derp.host
  const entry: Region = {
    id: OWN_REGION_MIN,
    code: 'quick',
    name: 'quick start',
    nodes: [
      {
        name: `${OWN_REGION_MIN}a`,
        hostname: settings.hostname,
        certName: pin,
        ipv4: isIPv4(host) ? host : undefined,
        ipv6: isIPv6(host) ? host : undefined,
        stunPort: stun?.port ?? -1,
        derpPort: derp.port,
      },
    ],
  }
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

/** Undefined for a certificate that an authority has signed. */
function pinOfFile(path: string): string | undefined {
  const file = readCertificateFile(path)
  const certificate = 'text' in file ? parseCertificate(file.text) : undefined
  return certificate instanceof X509Certificate ? selfSignedPin(certificate) : undefined
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
