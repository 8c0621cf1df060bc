// What the control thread and the relay threads say to each other. Plain data that survives structured
// cloning; packets never travel this way.

import type { Settings, SiblingSettings } from '#config/settings.ts'
import type { AdmissionQuestion } from '#admission/remote-admission.ts'
import type { HomeChange } from '#mesh/directory-client.ts'
import type { KeyLocation } from '#mesh/key-directory.ts'
import type { SiblingReport } from '#mesh/sibling-report.ts'
import type { EndReason } from '#relay/end-reason.ts'
import type { ThreadLink, ThreadMemory } from '#interthread/thread-links.ts'
import type { AdmissionAnswer, RemoteAddress, SessionStart } from '#relay/ports.ts'
import type { CertificatePem } from '#transport/tls-identity.ts'

/** Given to a relay thread at its start. */
export interface RelayThreadData {
  readonly settings: Settings
  readonly counters: SharedArrayBuffer
  /** How many connections all threads may take. */
  readonly accepts: SharedArrayBuffer
  /** Undefined when this is the only one. */
  readonly threads: ThreadMemory | undefined
  readonly pem: CertificatePem | undefined
  /** 32 random bytes, the same for all threads: clients must see one meta certificate. */
  readonly metaSeed: Uint8Array
  /** Authorities that siblings' certificates may be signed by, PEM. */
  readonly siblingAuthorities: readonly string[]
  readonly startedMs: number
}

export interface ListenRequest {
  readonly host: string
  readonly port: number
  /** Other threads listen on the same port. */
  readonly isShared: boolean
}

/** To a relay thread. */
export type ToRelayThread =
  | { readonly kind: 'listen'; readonly request: ListenRequest }
  | { readonly kind: 'admissionAnswer'; readonly id: number; readonly answer: AdmissionAnswer }
  | { readonly kind: 'bootstrapDns'; readonly json: string }
  | { readonly kind: 'endUnacknowledged'; readonly remotes: readonly RemoteAddress[] }
  /** Another relay thread has been started, or has died. */
  | { readonly kind: 'threadStarted'; readonly link: ThreadLink }
  | { readonly kind: 'threadEnded'; readonly thread: number }
  /** Other keys let siblings in from now on. */
  | { readonly kind: 'meshKeys'; readonly keys: readonly Uint8Array[] }
  /** Where a key is that this thread has asked for, or that has moved. */
  | { readonly kind: 'keyLocation'; readonly key: Uint8Array; readonly location: KeyLocation }
  /** Whom to mesh with from now on. */
  | { readonly kind: 'siblings'; readonly edition: number; readonly siblings: readonly SiblingSettings[] }
  | { readonly kind: 'stop' }

/** A login, for the log. */
export interface StartNotice extends Pick<SessionStart, 'way' | 'kind'> {
  readonly remote: string
  /** The key's short form. */
  readonly key: string
  readonly app: string | undefined
}

/** One session's end, for the log. */
export interface EndNotice {
  readonly reason: EndReason
  readonly remote: string
  /** The key's short form; undefined if none was proven. */
  readonly key: string | undefined
  /** What led to it, in words; undefined where the reason says it all. */
  readonly cause: string | undefined
}

/** From a relay thread. */
export type FromRelayThread =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'listenFailed'; readonly code: string; readonly message: string }
  | ({ readonly kind: 'askAdmission' } & AdmissionQuestion)
  /** Nobody waits for this answer any more. */
  | { readonly kind: 'cancelAdmission'; readonly id: number }
  | { readonly kind: 'sessionEnded'; readonly notice: EndNotice }
  | { readonly kind: 'sessionStarted'; readonly notice: StartNotice }
  | { readonly kind: 'homeChanged'; readonly notice: { readonly key: string; readonly home: boolean } }
  /** It listens over public sockets, because the runtime's handles are not as it knows them. */
  | { readonly kind: 'handleSelfTestFailed'; readonly text: string }
  /** The runtime warns of something. */
  | { readonly kind: 'runtimeWarning'; readonly name: string; readonly text: string }
  /** This thread's links to the siblings of that edition, once a second and whenever the state of one has changed. */
  | { readonly kind: 'linkReports'; readonly edition: number; readonly links: readonly SiblingReport[] }
  /** Clients that have noted this relay as their home, or no more. */
  | { readonly kind: 'homeNotes'; readonly notes: readonly HomeChange[] }
  /** Where is this key? */
  | { readonly kind: 'lookUpKey'; readonly key: Uint8Array }
  | { readonly kind: 'fault'; readonly text: string }
  | { readonly kind: 'stopped' }

/** Given to the STUN thread. */
export interface StunThreadData {
  /** Whether it answers until it is told otherwise. */
  readonly isAnswering: boolean
  readonly host: string
  readonly port: number
  readonly counters: SharedArrayBuffer
}

export type ToStunThread =
  | { readonly kind: 'answer'; readonly isAnswering: boolean }
  | { readonly kind: 'stop' }
