// What a relay knows of itself and of its host that nobody can see from outside, as it answers the verb `checkup`: types
// only. Facts, no judgements: what follows from them is doctor/. Fields are added, never renamed; a reader of another
// version finds some absent.

import type { Region } from './region.ts'

/** Limits and settings of the host, as the relay's process and network namespace have them. Undefined: not known. */
export interface HostFacts {
  readonly descriptorsMax?: number | undefined
  readonly descriptorsUsed?: number | undefined
  /** The longest queue of connections that wait to be accepted. */
  readonly somaxconn?: number | undefined
  /** What this relay asks for. */
  readonly backlog?: number | undefined
  /** Bytes that the kernel takes of a connection before they can be sent. */
  readonly notsentLowatBytes?: number | undefined
  /** Connections that netfilter tracks in this network namespace, and how many it may track. */
  readonly conntrackCount?: number | undefined
  readonly conntrackMax?: number | undefined
}

export interface ListenerFacts {
  readonly host: string
  readonly port: number
}

/** A sibling, and why the link to it is not up. */
export interface SiblingFacts {
  readonly name: string
  readonly isUp: boolean
  readonly why: string
  /** `meshKey`: one of the two does not accept the other's mesh key; `nodeKey`: two relays have one node key. */
  readonly cause?: 'meshKey' | 'nodeKey' | undefined
}

/** A relay of the fleet as this relay knows it. */
export interface FleetRelayFacts {
  readonly name: string
  readonly isListed: boolean
  readonly isOwn: boolean
  readonly nodes: readonly string[]
  readonly state: string
  readonly last?:
    | { readonly version: string; readonly certificateNotAfterMs?: number | undefined }
    | undefined
}

export interface FleetFacts {
  readonly majority: { readonly seen: number; readonly expected: number; readonly isMajority: boolean }
  readonly relays: readonly FleetRelayFacts[]
  readonly conflicts: readonly { readonly what: string; readonly owner: string; readonly other: string }[]
}

export interface RegionsFacts {
  readonly path: string
  /** Of the file as it is now; empty if it could be used. */
  readonly problems: readonly string[]
  /** The file says what the relay uses. */
  readonly isInUse: boolean
  readonly inUse: readonly Region[]
  /** This relay's names as a node. */
  readonly ownNodes: readonly string[]
}

export interface AdmissionFacts {
  readonly isOpen: boolean
  /** The answer for this relay's own key; undefined for an open relay. */
  readonly result?:
    | 'allowed'
    | 'memory'
    | 'denied'
    | 'denied_by_operator'
    | 'unreachable'
    | 'failed_open'
    | undefined
  readonly reason?: string | undefined
}

export interface RelayFacts {
  readonly version: string
  readonly hostname: string
  /** Public, as text. */
  readonly key: string
  readonly pid: number
  /** Unix time by the relay's clock. */
  readonly nowMs: number
  readonly isTls: boolean
  readonly isDerpEnabled: boolean
  readonly listeners: {
    readonly derp?: ListenerFacts | undefined
    readonly http?: ListenerFacts | undefined
    readonly stun?: ListenerFacts | undefined
    readonly admin?: ListenerFacts | undefined
  }
  /** Those of /readyz. */
  readonly checks: readonly { readonly name: string; readonly isOk: boolean; readonly detail: string }[]
  readonly siblings: readonly SiblingFacts[]
  readonly fleet: FleetFacts
  readonly host: HostFacts
  /** `problem`: why the relay serves without its folder. */
  readonly stateFolder: {
    readonly path?: string | undefined
    readonly problem?: string | undefined
    readonly freeBytes?: number | undefined
  }
  /** Of the start: settings that are valid but hardly meant, secrets that every user may read. */
  readonly warnings: readonly string[]
  readonly regions?: RegionsFacts | undefined
  /** Without a regions file: the relay as people paste it into a map, with the pin of a certificate of its own. */
  readonly entry?: Region | undefined
  readonly admission: AdmissionFacts
  readonly certificate?: { readonly failure?: string | undefined } | undefined
}
