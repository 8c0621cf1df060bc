// The composition root: settings in, a relay out. Construction and order, no logic.

import type { Settings } from '#config/settings.ts'

/** Where a relay really listens; port 0 in the settings has become a number here. */
export interface RelayAddresses {
  readonly derp: { readonly host: string; readonly port: number }
  readonly http: { readonly host: string; readonly port: number } | undefined
  readonly stun: { readonly host: string; readonly port: number } | undefined
  readonly admin: { readonly host: string; readonly port: number } | undefined
}

/** A relay that serves. */
export interface RunningRelay extends AsyncDisposable {
  readonly addresses: RelayAddresses
  /** Settles when the relay has ended by a fault of its own; never by `stop`. */
  readonly failed: Promise<Error>
  stop(): Promise<void>
}

/** Starts a relay; rejects with one clear error, and nothing left running, when it can't. */
export async function startRelay(_settings: Settings): Promise<RunningRelay> {
  throw new Error('not built yet')
}
