// What a relay runs with, fully decided: every default filled in, every file read, every contradiction
// refused. Frozen data and nothing else; how the operator's words become this is `resolve-settings.ts`.

import type { KeyPair } from '#protocol/node-key.ts'
import type { RelayLimits } from '#protocol/relay-limits.ts'
import type { Region } from '#fleet/region.ts'
import type { Sibling } from '#fleet/sibling.ts'
import type { CertificateFiles } from './certificate-files.ts'
import type { Endpoint } from './endpoint.ts'

/** Who may log in. Mesh key holders always may. All configured checks must pass. */
export interface AdmissionSettings {
  /** The operator said that anybody may use this relay. */
  readonly isOpen: boolean
  /** POST {NodePublic, Source} → {Allow}; Headscale's `/verify` speaks it. */
  readonly verifyUrl: string | undefined
  /** Admit when the URL can't be reached (never when it answers something else). */
  readonly verifyUrlFailOpen: boolean
  /** Unix socket of a local tailscaled that must know the client. */
  readonly tailscaledSocket: string | undefined
}

/** The key directory over NATS. */
export interface NatsSettings {
  readonly servers: readonly string[]
  /** A credentials file, and what is in it; read again when it changes. */
  readonly credentials: { readonly path: string; readonly text: string } | undefined
  readonly ca: string | undefined
  /** What keys are hashed with. */
  readonly secret: Uint8Array
}

export interface MeshSettings {
  /** Undefined: siblings of other regions are watched. */
  readonly nats: NatsSettings | undefined
  /** Those that are named one by one. */
  readonly siblings: readonly Sibling[]
  /** Names that stand for siblings, in DNS; one that begins with an underscore has SRV records. */
  readonly dnsNames: readonly { readonly name: string; readonly port: number }[]
  /** The file with the fleet's regions; read again when it changes. */
  readonly regionsPath: string | undefined
  readonly regions: readonly Region[]
  /** Clients that are moved to their ideal node, each second; 0 none. */
  readonly rebalancePerSecond: number
  /** This relay's own region where the file does not say. */
  readonly region: number | undefined
  /** Its name in the file, where its host name stands there for several relays. */
  readonly node: string | undefined
  /** Authorities besides the system's that siblings' certificates may be signed by, PEM. */
  readonly ca: string | undefined
}

export interface Settings {
  readonly nodeKey: KeyPair
  /** Each of them lets a sibling in; the first is proven to siblings. None: no mesh. */
  readonly meshKeys: readonly Uint8Array[]
  /** Where they are from; read again when it changes. */
  readonly meshKeyPath: string | undefined
  readonly mesh: MeshSettings
  /** The DERP port. */
  readonly derp: Endpoint
  /** The port for captive-portal checks and redirects; undefined is off. */
  readonly http: Endpoint | undefined
  readonly stun: Endpoint | undefined
  readonly admin: Endpoint | undefined
  /** Name (or IP) that clients reach the relay by and the certificate is made out to. */
  readonly hostname: string
  /** Undefined: plain TCP. */
  readonly certificate: CertificateFiles | undefined
  readonly tlsMaxVersion: 'TLSv1.2' | 'TLSv1.3'
  /** False: STUN and HTTP only; `/derp` answers 404. */
  readonly isDerpEnabled: boolean
  readonly threadCount: number
  readonly admission: AdmissionSettings
  readonly disallowedAppNames: readonly string[]
  readonly limits: RelayLimits
  /** What the front page shows: a page, nothing, or a redirect. */
  readonly home: { readonly kind: 'page' | 'blank' } | { readonly kind: 'redirect'; readonly url: string }
  readonly bootstrapDnsNames: readonly string[]
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
  /** Things the operator should know though they stop nothing; logged once at start. */
  readonly warnings: readonly string[]
}
