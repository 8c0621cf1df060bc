// The DERP map entry of a relay that is in no regions file: a region of its own, as people paste it into their first map. Runs
// on the control thread.

import { isIPv4, isIPv6 } from 'node:net'
import { X509Certificate } from 'node:crypto'
import { parseCertificate, selfSignedPin } from '#config/certificate-check.ts'
import { readCertificateFile } from '#config/certificate-files.ts'
import { isEveryAddress, type Endpoint } from '#config/endpoint.ts'
import type { Settings } from '#config/settings.ts'
import { derpMapText } from '#fleet/derp-map-writer.ts'
import { OWN_REGION_MIN, type Region } from '#fleet/region.ts'

type Described = Pick<Settings, 'hostname' | 'certificate'>

interface Listening {
  readonly derp: Endpoint
  /** Undefined: it does not answer STUN. */
  readonly stun: Endpoint | undefined
}

export interface OwnEntryParts {
  readonly settings: Described
  readonly derp: { readonly endpoint: Endpoint }
  readonly stun: { readonly endpoint: Endpoint } | undefined
  readonly certificates: { readonly status: { readonly usedSinceMs: number | undefined } } | undefined
}

/** A relay that listens at all addresses is reached by its host name. */
export function ownRegion({ hostname, certificate }: Described, { derp, stun }: Listening): Region {
  const pin = certificate === undefined ? undefined : pinOfFile(certificate.certificatePath)
  const host = isEveryAddress(derp.host) ? '' : derp.host
  return {
    id: OWN_REGION_MIN,
    code: 'own',
    name: hostname,
    nodes: [
      {
        name: `${OWN_REGION_MIN}a`,
        hostname,
        certName: pin,
        ipv4: isIPv4(host) ? host : undefined,
        ipv6: isIPv6(host) ? host : undefined,
        stunPort: stun?.port ?? -1,
        derpPort: derp.port,
      },
    ],
  }
}

/** The entry for Headscale, made once for each certificate. */
export function ownEntry({ settings, derp, stun, certificates }: OwnEntryParts): () => string {
  let known: { readonly sinceMs: number | undefined; readonly text: string } | undefined
  return () => {
    const sinceMs = certificates?.status.usedSinceMs
    if (known === undefined || known.sinceMs !== sinceMs) {
      const region = ownRegion(settings, { derp: derp.endpoint, stun: stun?.endpoint })
      known = { sinceMs, text: derpMapText('headscale', [region]) }
    }
    return known.text
  }
}

/** Undefined for a certificate that an authority has signed. */
function pinOfFile(path: string): string | undefined {
  const file = readCertificateFile(path)
  const certificate = 'text' in file ? parseCertificate(file.text) : undefined
  return certificate instanceof X509Certificate ? selfSignedPin(certificate) : undefined
}
