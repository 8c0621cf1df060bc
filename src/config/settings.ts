// The settings that a relay runs with: every default is filled in, every file is read, every contradiction is
// refused. Frozen data only; read-settings.ts and resolve-settings.ts make them from options.

import type { KicksFrom } from '#protocol/kicks-from.ts'
import type { Roster } from '#protocol/lane-roster.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import type { RelayLimits } from '#protocol/relay-limits.ts'
import type { HoldDowns } from '#fleet/held-map.ts'
import type { Region } from '#fleet/region.ts'
import type { Sibling } from '#fleet/sibling.ts'
import type { CertificateFiles } from './certificate-files.ts'
import type { Endpoint } from './endpoint.ts'

/** Where leases come from, and whose signatures count. */
export interface LeaseSettings {
  /** Read again when it changes. */
  readonly path: string
  /** Ed25519 public keys in the text form of options. */
  readonly keys: readonly string[]
}

/** Which clients may log in. All configured checks must pass. Remotes that prove a mesh key are always admitted. */
export interface AdmissionSettings {
  /** There is no check: every client may use the relay. */
  readonly isOpen: boolean
  /** The URL receives POST {NodePublic, Source} and answers {Allow}, as Headscale's `/verify` does. */
  readonly verifyUrl: string | undefined
  /** Admit clients while the URL cannot be reached; not if it gives another answer. */
  readonly verifyUrlFailOpen: boolean
  /** Unix socket of the local tailscaled, which must know the client. */
  readonly tailscaledSocket: string | undefined
  /** The list of keys that are admitted or refused without asking; read again when it changes. */
  readonly allowKeysPath: string | undefined
  /** Packets pass only between clients of one tenant; clients without one are a tenant of their own together. */
  readonly isolatesTenants: boolean
  /** The signed list of keys that are admitted until it ends. */
  readonly lease: LeaseSettings | undefined
  /** How long clients that were admitted before still are while no back end can be asked. */
  readonly graceMs: number
  /** Clients that siblings have admitted count as admitted before, while no back end can be asked. */
  readonly trustsSiblings: boolean
  /** After this time a client that is here is asked about again; 0: never. */
  readonly recheckMs: number
  /** Siblings that may end clients here, and have them refused. */
  readonly kicksFrom: KicksFrom
}

/** The key directory over NATS. */
export interface NatsSettings {
  readonly servers: readonly string[]
  /** The credentials file and its text; the file is read again when it changes. */
  readonly credentials: { readonly path: string; readonly text: string } | undefined
  readonly ca: string | undefined
  /** Keys are hashed with it. */
  readonly secret: Uint8Array
}

export type ChallengeKind = 'http-01' | 'tls-alpn-01'

/** A name to get a certificate for. */
export interface AcmeName {
  /** A host name or an IP address. */
  readonly name: string
  /** Undefined: the authority's default. */
  readonly profile: string | undefined
  /** The operator has named the profile: without it, nothing is ordered. */
  readonly isProfileRequired: boolean
}

/** How the relay gets its certificates from an authority by ACME. */
export interface AcmeSettings {
  readonly directoryUrl: string
  readonly email: string | undefined
  /** External account binding. */
  readonly eab: { readonly kid: string; readonly key: string } | undefined
  /** The host name first. */
  readonly names: readonly AcmeName[]
  /** The kinds of challenges to try, in this order. */
  readonly kinds: readonly ChallengeKind[]
  /** Of the account's key and the certificates. Other relays may use it, too. */
  readonly folder: string
}

export interface MeshSettings {
  /** Undefined: siblings of other regions are watched instead. */
  readonly nats: NatsSettings | undefined
  /** Siblings that are listed one by one. */
  readonly siblings: readonly Sibling[]
  /** DNS names that resolve to siblings; a name that begins with an underscore is looked up as SRV records. */
  readonly dnsNames: readonly { readonly name: string; readonly port: number }[]
  /** The fleet's file; read again when it changes. */
  readonly regionsPath: string | undefined
  readonly regions: readonly Region[]
  /** Ed25519 private key in PEM that signs the DERP map. */
  readonly mapKey: string | undefined
  /** How long relays are away, or back, before the DERP map says so. */
  readonly mapHoldDowns: HoldDowns
  /** Whether the DERP map is on the DERP port as well. */
  readonly isMapServed: boolean
  /** How often siblings are told the state of this relay. */
  readonly stateEveryMs: number
  /** Clients per second that are disconnected so that they return to their preferred relay; 0 disables it. */
  readonly rebalancePerSecond: number
  /** This relay's region, if the fleet's file does not have the relay. */
  readonly region: number | undefined
  /** Its name as a node, if several nodes of the fleet's file have its host name. */
  readonly node: string | undefined
  /** Authorities, besides the system's, that may sign siblings' certificates; PEM. */
  readonly ca: string | undefined
}

/** How a relay moves its clients away before it stops. */
export interface DrainSettings {
  /** From the beginning to the first client. */
  readonly settleMs: number
  /** From the first client to the last one. */
  readonly spreadMs: number
  /** For the last scrape of the metrics, after the last client. */
  readonly scrapeWaitMs: number
}

/** The UDP port for WireGuard peers. */
export interface LaneSettings {
  readonly endpoint: Endpoint
  /** Of the lane itself, which is a peer of its peers. */
  readonly key: KeyPair
  /** The file of the roster; read again when it changes. */
  readonly rosterPath: string
  readonly roster: Roster
}

/** What a relay measures of itself and of its clients. */
export interface MeasureSettings {
  /** Whether countries of clients are looked up. */
  readonly countries: boolean
  /** Whether the ranking of regions is on the DERP port as well. */
  readonly isRankingServed: boolean
  /** Bits per second that the network may carry in each direction; undefined: not known. */
  readonly capacityBits: number | undefined
}

export type IdentityForm = 'full' | 'short' | 'hashed' | 'none'

/** How keys and addresses of clients appear in the log and on pages. */
export interface ShownForms {
  readonly keys: IdentityForm
  readonly addresses: IdentityForm
}

export interface Settings {
  readonly nodeKey: KeyPair
  /** Each of them admits a sibling; this relay proves the first one to siblings. Empty: no mesh. */
  readonly meshKeys: readonly Uint8Array[]
  /** The file of the mesh keys; read again when it changes. */
  readonly meshKeyPath: string | undefined
  readonly mesh: MeshSettings
  /** The DERP port. */
  readonly derp: Endpoint
  /** For what the relay writes while it runs; the start makes it this relay's. Undefined: nothing is written. */
  readonly stateFolder: string | undefined
  /** For captive-portal checks and redirects; undefined: off. */
  readonly http: Endpoint | undefined
  readonly stun: Endpoint | undefined
  /** Undefined: off. */
  readonly lane: LaneSettings | undefined
  readonly admin: Endpoint | undefined
  /** Further host names of the admin port, by which browsers may ask for the status page. */
  readonly adminNames: readonly string[]
  /** Show a coarse status page on the DERP port. */
  readonly isStatusPublic: boolean
  /** With it, verbs can be called over the admin port. Undefined: that port is read-only. */
  readonly verbsToken: string | undefined
  /** Name or address by which clients reach the relay, and which its certificate is for. */
  readonly hostname: string
  /** False: plain TCP. With TLS, one of `certificate` and `acme` is defined. */
  readonly isTls: boolean
  /** Certificates from files. */
  readonly certificate: CertificateFiles | undefined
  /** Certificates from an authority. */
  readonly acme: AcmeSettings | undefined
  readonly tlsMaxVersion: 'TLSv1.2' | 'TLSv1.3'
  /** False: only STUN and HTTP are served; `/derp` answers 404. */
  readonly isDerpEnabled: boolean
  readonly threadCount: number
  /** From one poll round of a busy relay thread to the next. */
  readonly pollIntervalMs: number
  /** Whether to use system calls that Node does not offer: where they work, in any case, or not. */
  readonly native: 'auto' | 'on' | 'off'
  /** How connections and their TLS are driven: the first way that works, or one in any case. */
  readonly connections: 'auto' | 'openssl' | 'handles' | 'sockets'
  readonly admission: AdmissionSettings
  readonly disallowedAppNames: readonly string[]
  readonly limits: RelayLimits
  readonly drain: DrainSettings
  readonly measure: MeasureSettings
  /** The home page: a page, an empty page, or a redirect. */
  readonly home: { readonly kind: 'page' | 'blank' } | { readonly kind: 'redirect'; readonly url: string }
  readonly bootstrapDnsNames: readonly string[]
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
  readonly shown: ShownForms
  /** Logged once at the start. */
  readonly warnings: readonly string[]
}
