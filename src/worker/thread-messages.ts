// Messages between the control thread and the worker threads. Plain data that survives structured cloning. Packets never
// travel this way; they cross between relay threads in shared memory (`interthread/`).

import type { LiveSettings } from '#config/live-settings.ts'
import type { Settings } from '#config/settings.ts'
import type { Sibling } from '#fleet/sibling.ts'
import type { AdmissionQuestion } from '#admission/remote-admission.ts'
import type { HomeChange, LocationUpdate } from '#mesh/directory-client.ts'
import type { SiblingReport } from '#mesh/sibling-report.ts'
import type { ClientPart } from '#relay/client-part.ts'
import type { UdpAddress } from '#lane/member.ts'
import type { Roster } from '#protocol/lane-roster.ts'
import type { BridgeMemory, ThreadLink, ThreadMemory } from '#interthread/thread-memory.ts'
import type { DrainTimes } from '#relay/relay-drain.ts'
import type { AdmissionAnswer, RemoteAddress, SessionEnd, SessionStart, TenantRoster } from '#relay/ports.ts'
import type { TenantSums } from '#relay/tenant-sums.ts'
import type { CertificateSet } from '#protocol/certificate-pem.ts'
import type { StatusPage } from '#transport/http-pages.ts'
import type { ThreadWay } from './acceptor-setup.ts'
import type { RegionsQuestion } from './remote-regions.ts'
import type { PublishedPage } from '#transport/published-pages.ts'
import type { RoundTrips } from './round-trip-batch.ts'
import type { StunRequests } from './stun-sample.ts'

/** Start data of a relay thread. */
export interface RelayThreadData {
  readonly settings: Settings
  readonly counters: SharedArrayBuffer
  /** The budget of new connections that all threads share. */
  readonly accepts: SharedArrayBuffer
  readonly threads: ThreadMemory
  /** Random for each start, and the same for all threads of a relay. */
  readonly instance: string
  /** Authorities that may have signed siblings' certificates, PEM. */
  readonly siblingAuthorities: readonly string[]
  /** Whether native calls work, as the control thread has found out. */
  readonly hasNative: boolean
  /** Of this thread; undefined: as it is made. */
  readonly niceness: number | undefined
}

/** Settings of relay threads that may change while they serve. */
export type ThreadSettings = Pick<
  LiveSettings,
  'limits' | 'disallowedAppNames' | 'home' | 'rebalancePerSecond'
> & {
  readonly admission: Pick<LiveSettings['admission'], 'isOpen' | 'kicksFrom'>
}

export interface ListenRequest {
  readonly host: string
  readonly port: number
  /** The descriptor of a socket that listens already; the control thread keeps it open. Undefined: make one. */
  readonly inherited: number | undefined
  /** Other threads listen on the same port. */
  readonly isShared: boolean
}

/** To a relay thread. */
export type ToRelayThread =
  | { readonly kind: 'listen'; readonly request: ListenRequest }
  | { readonly kind: 'admissionAnswer'; readonly id: number; readonly answer: AdmissionAnswer }
  /** The ranking of regions for the client of a question; undefined without regions. */
  | { readonly kind: 'regionsAnswer'; readonly id: number; readonly json: string | undefined }
  | { readonly kind: 'bootstrapDns'; readonly json: string }
  | { readonly kind: 'publicStatus'; readonly page: StatusPage }
  /** All pages that the DERP port has from now on beside its own. */
  | { readonly kind: 'publishedPages'; readonly pages: readonly PublishedPage[] }
  /** What new TLS handshakes present from now on. */
  | { readonly kind: 'certificates'; readonly set: CertificateSet }
  /** The settings that a reload has changed, or may have. */
  | { readonly kind: 'liveSettings'; readonly settings: ThreadSettings }
  /** Ends the sessions of remotes that no longer acknowledge. */
  | { readonly kind: 'endUnacknowledged'; readonly remotes: readonly RemoteAddress[] }
  /** What admission goes by has changed: it is asked again about the clients that are here. */
  | { readonly kind: 'recheckAdmission' }
  /** The tenants from now on, and where each thread adds up what it sends to them; undefined: none, and nowhere. */
  | {
      readonly kind: 'tenants'
      readonly roster: TenantRoster | undefined
      readonly sums: TenantSums | undefined
    }
  /** An operator denies a key for so long; infinite: until it is taken back; 0: no longer. */
  | { readonly kind: 'endKey'; readonly key: Uint8Array; readonly forMs: number }
  /** Who may send disco messages only: all clients, or those of the tenants with these numbers in the roster. */
  | { readonly kind: 'discoOnly'; readonly areAll: boolean; readonly tenants: readonly number[] }
  /** How much memory the process has. */
  | { readonly kind: 'memoryState'; readonly state: MemoryState }
  /** Another thread refuses an address for so long. */
  | { readonly kind: 'banAddress'; readonly ip: Uint8Array; readonly forMs: number }
  /** Asks for a part of the clients: `Relay.clientsBefore`. */
  | { readonly kind: 'tellClients'; readonly id: number; readonly before: number }
  /** Another relay thread has started, or has died. */
  | { readonly kind: 'threadStarted'; readonly link: ThreadLink }
  | { readonly kind: 'threadEnded'; readonly thread: number }
  /** The earlier run of this relay drains for so long at most: its clients come back to this one. 0: it is over. */
  | { readonly kind: 'otherRunDrains'; readonly forMs: number }
  /** The mesh keys that admit siblings from now on. */
  | { readonly kind: 'meshKeys'; readonly keys: readonly Uint8Array[] }
  /** The location of a key that this thread has looked up, or that has moved. */
  | ({ readonly kind: 'keyLocation' } & LocationUpdate)
  /** The siblings to mesh with from now on. */
  | { readonly kind: 'siblings'; readonly edition: number; readonly siblings: readonly Sibling[] }
  /** Dials siblings of these names that were not needed so far. */
  | { readonly kind: 'wakeSiblings'; readonly names: readonly string[] }
  /** Tells siblings of these names the state of this relay, where the link is up. */
  | { readonly kind: 'tellState'; readonly to: readonly string[]; readonly state: Uint8Array }
  /** Answers a sibling with this key over the connection that it has made to this thread. */
  | { readonly kind: 'answerSibling'; readonly key: Uint8Array; readonly state: Uint8Array }
  /** Refuses connections from now on and moves all clients away, within the times given. */
  | { readonly kind: 'drain'; readonly times: DrainTimes }
  /** Answered with `marked`, when all that was sent before it has been handled. */
  | { readonly kind: 'mark'; readonly mark: number }
  /** Memory is to be given back, in a moment without packets. */
  | { readonly kind: 'collectGarbage' }
  | { readonly kind: 'stop' }

/** Of the whole process: enough; too little for more clients; so little that less data may wait. */
export type MemoryState = 'enough' | 'short' | 'spent'

/** A login, for the log. */
export interface StartNotice extends Omit<SessionStart, 'appName'> {
  /** Undefined if the application gives itself no name. */
  readonly app: string | undefined
}

/** A client made this relay its home, or no longer does; for the log. */
export interface HomeNotice {
  readonly key: Uint8Array
  readonly home: boolean
}

export interface AddressBan {
  readonly ip: Uint8Array
  readonly reason: 'connections' | 'logins'
  readonly forMs: number
}

/** From any worker thread: the stages of its life. Handled by its worker handle. */
export type WorkerStateMessage =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'listenFailed'; readonly code: string; readonly message: string }
  | { readonly kind: 'fault'; readonly text: string }
  | { readonly kind: 'stopped' }

/** The runtime emitted a warning in the thread. */
export interface RuntimeWarning {
  readonly kind: 'runtimeWarning'
  readonly name: string
  readonly text: string
}

/** From a relay thread, beside its state. */
export type FromRelayThread =
  | ({ readonly kind: 'askAdmission' } & AdmissionQuestion)
  /** The answer is no longer needed. */
  | { readonly kind: 'cancelAdmission'; readonly id: number }
  /** A client asks which region is near. */
  | ({ readonly kind: 'askRegions' } & RegionsQuestion)
  | { readonly kind: 'sessionStarted'; readonly notice: StartNotice }
  | { readonly kind: 'sessionEnded'; readonly notice: SessionEnd }
  | { readonly kind: 'homeChanged'; readonly notice: HomeNotice }
  /** This thread refuses an address from now on. */
  | ({ readonly kind: 'addressBanned' } & AddressBan)
  /** No client is left on this thread. */
  | { readonly kind: 'drained' }
  /** The thread listens over public sockets because the runtime's handles are not as it expects. */
  | { readonly kind: 'handleSelfTestFailed'; readonly text: string }
  /** TLS by native calls of OpenSSL does not work; the thread uses the runtime's. */
  | { readonly kind: 'opensslFailed'; readonly text: string }
  /** By what the thread does TLS. */
  | { readonly kind: 'way'; readonly way: ThreadWay }
  | RuntimeWarning
  /** All that was sent to this thread before that mark is in use. */
  | { readonly kind: 'marked'; readonly mark: number }
  /** This thread's links to the siblings of that edition; sent once a second and whenever the state of a link changes. */
  | { readonly kind: 'linkReports'; readonly edition: number; readonly links: readonly SiblingReport[] }
  /** A sibling with this key tells its state. */
  | { readonly kind: 'relayState'; readonly key: Uint8Array; readonly state: Uint8Array }
  /** Keys of clients that made this relay their home, or no longer do; for the key directory. */
  | { readonly kind: 'announceHomes'; readonly changes: readonly HomeChange[] }
  /** Round trips of clients that were read in the last second. */
  | { readonly kind: 'roundTrips'; readonly roundTrips: RoundTrips }
  /** The answer to `tellClients`. */
  | { readonly kind: 'clients'; readonly id: number; readonly part: ClientPart }
  /** Keys of clients that siblings have, one after another: see sibling-keys.ts. */
  | { readonly kind: 'siblingKeys'; readonly keys: Uint8Array }
  /** Asks the key directory where a key is. */
  | { readonly kind: 'lookUpKey'; readonly key: Uint8Array }

/** Start data of the STUN thread. */
export interface StunThreadData {
  readonly host: string
  readonly port: number
  readonly counters: SharedArrayBuffer
  /** Sockets that are open already, which the thread takes over; empty: it makes its own. */
  readonly inherited: readonly { readonly descriptor: number; readonly host: string }[]
  /** Whether the thread answers until an `answer` message says otherwise. */
  readonly isAnswering: boolean
}

export type ToStunThread =
  | { readonly kind: 'answer'; readonly isAnswering: boolean }
  | { readonly kind: 'stop' }

/** From the STUN thread, beside its state. */
export type FromStunThread =
  | RuntimeWarning
  /** What was answered since the last message. */
  | ({ readonly kind: 'stunRequests' } & StunRequests)

/** Start data of the bridge thread. */
export interface RunBridgeData {
  readonly memory: BridgeMemory
  readonly counters: SharedArrayBuffer
  /** Whether it connects to the other run's bridge, or waits for it. */
  readonly way: 'connect' | 'listen'
  /** Of the Unix socket. */
  readonly path: string
  /** 64 hex digits; the other run shows them. */
  readonly token: string
}

export type ToRunBridge = { readonly kind: 'stop' }

/** From the bridge thread, beside its state. */
export type FromRunBridge =
  /** It is connected with the other run's bridge. */
  | { readonly kind: 'bridgeUp' }
  /** It is not any more. `why` completes "the other run …"; empty: the other run has ended in order. */
  | { readonly kind: 'bridgeDown'; readonly why: string }

/** A key that an operator denies, and for how long; infinite: until it is taken back. */
export type RefusedKey = readonly [key: Uint8Array, forMs: number]

/** Start data of the lane's thread. */
export interface LaneThreadData {
  readonly host: string
  readonly port: number
  readonly counters: SharedArrayBuffer
  readonly threads: ThreadMemory
  /** The lane's WireGuard key, 32 bytes. */
  readonly privateKey: Uint8Array
  readonly roster: Roster
  /** Whom an operator refuses, and for how long. */
  readonly refused: readonly RefusedKey[]
  /** What an earlier thread or run has told of itself; empty: nothing. */
  readonly state: string
  /** As of relay threads. */
  readonly niceness: number | undefined
}

export type ToLaneThread =
  /** Who may use the lane from now on. */
  | { readonly kind: 'roster'; readonly roster: Roster }
  /** A relay thread has started, or has ended. */
  | { readonly kind: 'threadStarted'; readonly link: ThreadLink }
  | { readonly kind: 'threadEnded'; readonly thread: number }
  /** An operator denies a key for so long; infinite: until it is taken back; 0: no longer. */
  | { readonly kind: 'endKey'; readonly key: Uint8Array; readonly forMs: number }
  /** Answered with `laneMembers`. */
  | { readonly kind: 'tellMembers'; readonly id: number }
  | { readonly kind: 'stop' }

/** A key of the roster, as it is now. */
export interface LaneMember {
  readonly key: Uint8Array
  readonly name: string
  /** Where its key is proven to be; undefined: it is not on the lane. */
  readonly address: UdpAddress | undefined
  /** Since its last proof. */
  readonly provenMs: number
  /** It is connected to the relay by other ways, too. */
  readonly isElsewhere: boolean
  readonly links: number
}

/** From the lane's thread, beside its state. */
export type FromLaneThread =
  | RuntimeWarning
  /** What a restart must know, a moment after it has changed. */
  | { readonly kind: 'laneState'; readonly text: string }
  /** A member has come to the lane, or has left it; for the key directory. */
  | ({ readonly kind: 'laneHome' } & HomeChange)
  | { readonly kind: 'laneMembers'; readonly id: number; readonly members: readonly LaneMember[] }
