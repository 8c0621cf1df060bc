// What the generator prints at the end of each kind of run, one JSON line, as types; and the sum of flows that several
// processes ran together.

import { mergeDelays, type Delays } from './delays.ts'

/** Packets between logged-in clients. Counts are frames of the measured window unless said otherwise. */
export interface FlowOutcome {
  readonly event: 'load'
  readonly connections: number
  readonly seconds: number
  /** By the schedule; what was sent when everything was offered that could be. */
  readonly due: number
  readonly sent: number
  /** Of those due, what came until the drain time after the window was over. */
  readonly received: number
  /** What came during the window, whenever it was due. */
  readonly arrived: number
  readonly arrivedBytes: number
  readonly corrupted: number
  readonly misdelivered: number
  readonly duplicated: number
  readonly reordered: number
  /** Shots that found their socket full; that the generator itself made more than 5 ms late. */
  readonly waited: number
  readonly late: number
  /** Of an earlier run with the same keys. */
  readonly stale: number
  readonly peerGone: number
  readonly otherFrames: number
  /** Connections that the server closed, and when the first one, from the start of the load; -1: none. */
  readonly closed: number
  readonly firstClosedSeconds: number
  readonly serverCpuSeconds: number
  readonly serverRssKb: number
  /** The share of its time in which the generator had something to do. */
  readonly busy: number
  readonly delays: Delays
}

/** One phase of many idle connections. */
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

export interface StormOutcome {
  readonly event: 'storm'
  readonly clients: number
  readonly lost: number
  readonly back: number
  readonly refusedDials: number
  readonly failedLogins: number
  /** The same by how far they had come. */
  readonly failedAt: Readonly<Record<string, number>>
  /** Accepted while the old server was ending, and ended with it. */
  readonly acceptedWhileStopping: number
  readonly loginsOver10s: number
  readonly downSeconds: number
  /** From the first accepted dial on; -1: never. */
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

/** Delays of a part of a run that is still going on. */
export interface IntervalOutcome {
  readonly event: 'interval'
  readonly atSeconds: number
  readonly delays: Delays
}

export interface SignalOutcome {
  readonly event: 'ready' | 'held'
}

export type Outcome =
  | FlowOutcome
  | PhaseOutcome
  | StormOutcome
  | StunOutcome
  | ChurnOutcome
  | IntervalOutcome
  | SignalOutcome

/** Flows that ran at the same time against one server, as one. The server's CPU time is read by each: not added. */
export function mergeFlows(flows: readonly FlowOutcome[]): FlowOutcome {
  const [first, ...others] = flows
  if (first === undefined) throw new Error('no flows to merge')
  if (others.length === 0) return first
  const sum = (of: (flow: FlowOutcome) => number): number =>
    flows.reduce((total, flow) => total + of(flow), 0)
  const most = (of: (flow: FlowOutcome) => number): number => Math.max(...flows.map(of))
  return {
    ...first,
    connections: sum((flow) => flow.connections),
    due: sum((flow) => flow.due),
    sent: sum((flow) => flow.sent),
    received: sum((flow) => flow.received),
    arrived: sum((flow) => flow.arrived),
    arrivedBytes: sum((flow) => flow.arrivedBytes),
    corrupted: sum((flow) => flow.corrupted),
    misdelivered: sum((flow) => flow.misdelivered),
    duplicated: sum((flow) => flow.duplicated),
    reordered: sum((flow) => flow.reordered),
    waited: sum((flow) => flow.waited),
    late: sum((flow) => flow.late),
    stale: sum((flow) => flow.stale),
    peerGone: sum((flow) => flow.peerGone),
    otherFrames: sum((flow) => flow.otherFrames),
    closed: sum((flow) => flow.closed),
    firstClosedSeconds: most((flow) => flow.firstClosedSeconds),
    serverCpuSeconds: most((flow) => flow.serverCpuSeconds),
    serverRssKb: most((flow) => flow.serverRssKb),
    busy: most((flow) => flow.busy),
    delays: mergeDelays(flows.map(({ delays }) => delays)),
  }
}

/** Frames that were not what was sent, or not where and when they belonged. Loss is not among them. */
export function wrongFrames(flow: FlowOutcome): number {
  return flow.corrupted + flow.misdelivered + flow.duplicated + flow.reordered
}
