// A load of packets: its description, the generator's arguments for it, and the numbers that are derived from its
// outcome. Defaults are 1420-byte packets, one per TLS record, TLS 1.3.

import type { LoadOutcome } from './outcome.ts'

export interface Load {
  readonly topology: 'pairs' | 'fan-in' | 'fan-out'
  readonly count: number
  /** Packets per second of all senders together; `all`: as much as the sockets accept. */
  readonly rate: number | 'all'
  readonly seconds: number
  readonly warmSeconds: number
  /** Bytes; or a mix in the format of the generator's --mix. */
  readonly size?: number | string
  /** Frames in one TLS record. */
  readonly batch?: number
  /** With `all`: TLS records in one write. */
  readonly perWrite?: number
  /** Limits how fast the first receiver reads; after `untilSeconds` it reads nothing. */
  readonly slow?: { readonly bytesPerSecond: number; readonly untilSeconds: number }
  /** Sleeps between packets and runs at real-time priority: for probes, and if the processor is shared. */
  readonly sleeps?: boolean
  /** Packets are due in bursts, every so many microseconds. Without, a generator with a high rate has no time to sleep. */
  readonly tickUs?: number
  readonly intervalSeconds?: number
}

/** A probe: one pair, 64-byte packets, 1,000 a second. */
export function probeLoad(seconds: number, warmSeconds: number): Load {
  return { topology: 'pairs', count: 1, size: 64, rate: 1_000, seconds, warmSeconds, sleeps: true }
}

/** The number of connections of a load. */
export function connectionsOf(load: Load): number {
  return load.topology === 'pairs' ? 2 * load.count : load.count + 1
}

/** The generator's arguments for one process's share of a load. */
export function loadArguments(load: Load, processes = 1): string[] {
  const args = [`--${load.topology}`, `${load.count / processes}`]
  if (load.size !== undefined) args.push(typeof load.size === 'string' ? '--mix' : '--size', `${load.size}`)
  if (load.batch !== undefined) args.push('--batch', `${load.batch}`)
  if (load.perWrite !== undefined) args.push('--per-write', `${load.perWrite}`)
  if (load.rate !== 'all') args.push('--rate', `${load.rate / processes}`)
  args.push('--secs', `${load.seconds}`, '--warm', `${load.warmSeconds}`)
  if (load.slow !== undefined) {
    args.push('--slow', `${load.slow.bytesPerSecond}`, '--slow-until', `${load.slow.untilSeconds}`)
  }
  if (load.sleeps === true) args.push('--realtime')
  if (load.tickUs !== undefined) args.push('--tick', `${load.tickUs}`)
  if (load.intervalSeconds !== undefined) args.push('--interval', `${load.intervalSeconds}`)
  return args
}

/**
 * The share of due packets that was lost: dropped by the server, never read from a blocked sender, or not received 0.2 s
 * after the window.
 */
export function lossOf(outcome: LoadOutcome): number {
  return outcome.due === 0 ? Number.NaN : 1 - outcome.received / outcome.due
}

/** The share of the offered rate that arrived during the window. It is below 1 if a backlog grows. */
export function carriedOf(outcome: LoadOutcome): number {
  return outcome.due === 0 ? Number.NaN : outcome.arrived / outcome.due
}

/** Packet bytes that were delivered, in one direction. */
export function gigabitsPerSecond(outcome: LoadOutcome): number {
  return (outcome.arrivedBytes * 8) / outcome.seconds / 1e9
}

/** CPU time of the server per frame that arrived, in µs. */
export function cpuUsPerFrame(outcome: LoadOutcome): number {
  return outcome.arrived === 0 ? Number.NaN : (outcome.serverCpuSeconds * 1e6) / outcome.arrived
}
