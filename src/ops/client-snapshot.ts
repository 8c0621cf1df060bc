// The clients of this relay at a moment, as pages about them read it: row by row, without an object for each. The control thread
// gathers them (`control/client-table.ts`). No I/O.

/** Bytes are payload bytes, but for those of the wire. */
export type ClientField =
  | 'sinceMs'
  | 'receivedPackets'
  | 'receivedBytes'
  | 'sentPackets'
  | 'sentBytes'
  /** For this client, and not delivered. */
  | 'dropped'
  | 'queuedPackets'
  | 'queuedBytes'
  /** Keys whose packets it was given. */
  | 'senders'
  | 'wireReceivedBytes'
  | 'wireSentBytes'
  | 'version'
  | 'port'
  /** When the row was read, Unix ms. */
  | 'atMs'

export type ClientTrait =
  | 'home'
  | 'sibling'
  | 'prober'
  /** Another node is its ideal one. */
  | 'notIdeal'
  | 'webSocket'
  | 'fastStart'
  /** Its key has other connections to this relay. */
  | 'duplicate'
  /** It receives the packets for its key. */
  | 'active'
  /** The table of keys does not have it: a bug in this program. */
  | 'unlisted'

export interface ClientSnapshot {
  /** Unix ms. */
  readonly atMs: number
  /** Rows are 0 to count - 1. */
  readonly count: number
  /** False: a thread did not answer, and its clients are missing. */
  readonly isComplete: boolean
  /** A number for each connection, the same in later snapshots: see `earlierRow`. */
  idOf(row: number): number
  /** Undefined: it is not there. */
  rowOf(id: number): number | undefined
  value(row: number, field: ClientField): number
  has(row: number, trait: ClientTrait): boolean
  threadOf(row: number): number
  /** `nodekey:` and hex digits. */
  keyOf(row: number): string
  shortKeyOf(row: number): string
  /** The key and the address as the operator has them shown; empty: not at all. */
  shownKeyOf(row: number, isWholeAsked: boolean): string
  shownRemoteOf(row: number): string
  /** Empty if it is not known. */
  ipOf(row: number): string
  remoteOf(row: number): string
  /** Empty if it gives none. */
  appNameOf(row: number): string
  /** Empty: of none. */
  tenantOf(row: number): string
  compareKeys(row: number, other: number): number
  compareRemotes(row: number, other: number): number
}

/** A snapshot, and one of a moment before, for rates. */
export interface ClientSample {
  readonly now: ClientSnapshot
  readonly before: ClientSnapshot
}

/** A client that has just come has rates of no more than what it has carried. */
const SECONDS_MIN = 1

/** The connection's row in an earlier snapshot; undefined: it was not there. A thread that was restarted counts from 0 again. */
export function earlierRow(now: ClientSnapshot, before: ClientSnapshot, row: number): number | undefined {
  const earlier = before.rowOf(now.idOf(row))
  if (earlier === undefined) return undefined
  return before.value(earlier, 'sinceMs') === now.value(row, 'sinceMs') ? earlier : undefined
}

/** How fast a number has grown between the two snapshots; of a client that was not there in the first one, since its login. */
export function perSecond({ now, before }: ClientSample, row: number, field: ClientField): number {
  const value = now.value(row, field)
  const atMs = now.value(row, 'atMs')
  const earlier = earlierRow(now, before, row)
  if (earlier === undefined) return value / Math.max(SECONDS_MIN, (atMs - now.value(row, 'sinceMs')) / 1_000)
  const seconds = (atMs - before.value(earlier, 'atMs')) / 1_000
  return seconds > 0 ? (value - before.value(earlier, field)) / seconds : 0
}

/** All rows, or those that fit. */
export function rowsOf({ count }: ClientSnapshot, fits?: (row: number) => boolean): number[] {
  const rows: number[] = []
  for (let row = 0; row < count; row++) if (fits === undefined || fits(row)) rows.push(row)
  return rows
}

/** How many keys these connections have. */
export function keyCount(snapshot: ClientSnapshot, rows: readonly number[]): number {
  const several = rows.filter((row) => snapshot.has(row, 'duplicate'))
  return rows.length - several.length + new Set(several.map((row) => snapshot.keyOf(row))).size
}
