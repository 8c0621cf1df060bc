// Types of the JSON lines that the generators print, and the sum of a load's outcomes when several processes share it.

import { mergeDelays, type Delays } from './delays.ts'

/** Of a packet load. Counts are frames that were due in the measured window unless noted otherwise. */
export interface LoadOutcome {
  readonly event: 'load'
  readonly connections: number
  readonly seconds: number
  /** By the schedule; without a schedule the frames that were sent. */
  readonly due: number
  readonly sent: number
  /** Frames that arrived until the end of the drain time. */
  readonly received: number
  /** Frames that arrived during the window, whenever they were due. */
  readonly arrived: number
  readonly arrivedBytes: number
  readonly corrupted: number
  readonly misdelivered: number
  readonly duplicated: number
  readonly reordered: number
  /** Batches that waited for a full socket; batches that the generator itself created more than 5 ms late. */
  readonly waited: number
  readonly late: number
  /** Frames of an earlier run with the same keys. */
  readonly stale: number
  readonly peerGone: number
  readonly otherFrames: number
  /** Connections that the server closed, and the time of the first one since the start of the load; -1: none. */
  readonly closed: number
  readonly firstClosedSeconds: number
  readonly serverCpuSeconds: number
  readonly serverRssKb: number
  /** The share of time in which the generator was busy. */
  readonly busy: number
  readonly delays: Delays
}

/** Of one phase of idle connections. */
export interface PhaseOutcome {
  readonly event: 'phase'
  readonly name: string
  readonly open: number
  readonly failed: number
  readonly closed: number
  readonly seconds: number
  readonly serverCpuSeconds: number
  readonly serverRssKb: number
  readonly serverAnonymousKb: number
  readonly created: number
  readonly received: number
  readonly wrong: number
}

/** Of logins as Go clients make them. Fields mean what they mean in the phase `fresh` of idle connections. */
export interface GoLoginsOutcome {
  readonly event: 'go-logins'
  readonly open: number
  readonly failed: number
  readonly seconds: number
  readonly serverCpuSeconds: number
  /** The key exchange group that the server took, by Go's name. */
  readonly group: string
}

export interface StormOutcome {
  readonly event: 'storm'
  readonly clients: number
  readonly lost: number
  readonly back: number
  readonly refusedDials: number
  readonly failedLogins: number
  /** Failed logins by the phase that they reached. */
  readonly failedAt: Readonly<Record<string, number>>
  /** Connections that the old server accepted while it stopped. */
  readonly acceptedWhileStopping: number
  readonly loginsOver10s: number
  readonly downSeconds: number
  /** Since the first accepted dial; -1: never. */
  readonly halfBackSeconds: number
  readonly almostAllBackSeconds: number
  readonly allBackSeconds: number
  readonly probeSent: number
  readonly probeReceived: number
  readonly corrupted: number
  readonly serverRssKb: number
  readonly loginTimes: Delays
  readonly probeDelays: Delays
}

export interface StunOutcome {
  readonly event: 'stun'
  readonly sent: number
  readonly received: number
  readonly late: number
  readonly delays: Delays
}

export interface ChurnOutcome {
  readonly event: 'churn'
  readonly logins: number
  readonly failed: number
}

/** Of clients that move from a server that stops to the other one of its region. Counts are packets unless noted. */
export interface MovedOutcome {
  readonly event: 'moved'
  readonly clients: number
  readonly sent: number
  /** Due while their sender was not connected. */
  readonly unsent: number
  /** Not sent by the end because the generator was behind. */
  readonly late: number
  readonly received: number
  readonly repeated: number
  readonly corrupted: number
  /** Lost ones of the client at 99 % of all clients, and of the one with most. */
  readonly lostP99: number
  readonly lostMost: number
  /** Connections that ended; dials that were refused; logins that failed after an accepted dial. */
  readonly disconnects: number
  readonly refusedDials: number
  readonly failedLogins: number
  /** From the end of a connection to the next login. */
  readonly away: Delays
  readonly delays: Delays
}

/** Delays of one interval of a packet load. */
export interface IntervalOutcome {
  readonly event: 'interval'
  readonly atSeconds: number
  readonly delays: Delays
}

export interface SignalOutcome {
  readonly event: 'ready' | 'held'
}

/** Of the same work over and over: how long it took, for the quickest twentieth and for half of the samples. */
export interface SpeedOutcome {
  readonly event: 'speed'
  readonly samples: number
  readonly fastNs: number
  readonly medianNs: number
}

export type Outcome =
  | LoadOutcome
  | PhaseOutcome
  | GoLoginsOutcome
  | StormOutcome
  | StunOutcome
  | ChurnOutcome
  | MovedOutcome
  | SpeedOutcome
  | IntervalOutcome
  | SignalOutcome

/**
 * Loads that ran at the same time against one server, as one. Each reads the CPU time of the whole server: it is not
 * added.
 */
export function mergeLoadOutcomes(outcomes: readonly LoadOutcome[]): LoadOutcome {
  const [first, ...others] = outcomes
  if (first === undefined) throw new Error('no outcomes to merge')
  if (others.length === 0) return first
  const sum = (of: (one: LoadOutcome) => number): number =>
    outcomes.reduce((total, one) => total + of(one), 0)
  const most = (of: (one: LoadOutcome) => number): number => Math.max(...outcomes.map(of))
  return {
    ...first,
    connections: sum((one) => one.connections),
    due: sum((one) => one.due),
    sent: sum((one) => one.sent),
    received: sum((one) => one.received),
    arrived: sum((one) => one.arrived),
    arrivedBytes: sum((one) => one.arrivedBytes),
    corrupted: sum((one) => one.corrupted),
    misdelivered: sum((one) => one.misdelivered),
    duplicated: sum((one) => one.duplicated),
    reordered: sum((one) => one.reordered),
    waited: sum((one) => one.waited),
    late: sum((one) => one.late),
    stale: sum((one) => one.stale),
    peerGone: sum((one) => one.peerGone),
    otherFrames: sum((one) => one.otherFrames),
    closed: sum((one) => one.closed),
    firstClosedSeconds: most((one) => one.firstClosedSeconds),
    serverCpuSeconds: most((one) => one.serverCpuSeconds),
    serverRssKb: most((one) => one.serverRssKb),
    busy: most((one) => one.busy),
    delays: mergeDelays(outcomes.map(({ delays }) => delays)),
  }
}

/** Frames that were corrupted, misdelivered, duplicated or reordered. Lost frames are not wrong frames. */
export function wrongFrames(outcome: LoadOutcome): number {
  return outcome.corrupted + outcome.misdelivered + outcome.duplicated + outcome.reordered
}
