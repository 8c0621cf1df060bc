// A load of packets in words, and the generator's arguments for it. What a figure says of its load is here and nowhere
// else; defaults are those of the headline figures: 1420-byte packets, one to a TLS record, TLS 1.3.

import type { FlowOutcome } from './outcome.ts'

export interface Load {
  readonly topology: 'pairs' | 'fan-in' | 'fan-out'
  readonly count: number
  /** Packets per second in all; `all`: whatever can be sent. */
  readonly rate: number | 'all'
  readonly seconds: number
  readonly warmSeconds: number
  /** Bytes; or a mix as the generator's --mix has it. */
  readonly size?: number | string
  /** Frames in one TLS record. */
  readonly batch?: number
  /** The first receiver reads so many bytes per second, and nothing from `slowUntil` seconds on. */
  readonly slow?: { readonly bytesPerSecond: number; readonly untilSeconds: number }
  /** Sleeps between its packets and runs before others: for probes, and where the processor is shared. */
  readonly sleeps?: boolean
  readonly intervalSeconds?: number
}

/** A probe: one pair, 64-byte packets, 1,000 a second. */
export function probeLoad(seconds: number, warmSeconds: number): Load {
  return { topology: 'pairs', count: 1, size: 64, rate: 1_000, seconds, warmSeconds, sleeps: true }
}

/** How many connections it takes. */
export function connectionsOf(load: Load): number {
  return load.topology === 'pairs' ? 2 * load.count : load.count + 1
}

/** The generator's arguments for a process's share of a load. */
export function loadArguments(load: Load, processes = 1): string[] {
  const args = [`--${load.topology}`, `${load.count / processes}`]
  if (load.size !== undefined) args.push(typeof load.size === 'string' ? '--mix' : '--size', `${load.size}`)
  if (load.batch !== undefined) args.push('--batch', `${load.batch}`)
  if (load.rate !== 'all') args.push('--rate', `${load.rate / processes}`)
  args.push('--secs', `${load.seconds}`, '--warm', `${load.warmSeconds}`)
  if (load.slow !== undefined) {
    args.push('--slow', `${load.slow.bytesPerSecond}`, '--slow-until', `${load.slow.untilSeconds}`)
  }
  if (load.sleeps === true) args.push('--realtime')
  if (load.intervalSeconds !== undefined) args.push('--interval', `${load.intervalSeconds}`)
  return args
}

/**
 * The share of what was due that was lost: dropped by the server, or never taken from a blocked sender, or still on
 * its way 0.2 s after the window.
 */
export function lossOf(flow: FlowOutcome): number {
  return flow.due === 0 ? Number.NaN : 1 - flow.received / flow.due
}

/** The share of the offered rate that arrived during the window: falls behind where a backlog grows. */
export function carriedOf(flow: FlowOutcome): number {
  return flow.due === 0 ? Number.NaN : flow.arrived / flow.due
}

/** Packet bytes delivered, in one direction. */
export function gigabitsPerSecond(flow: FlowOutcome): number {
  return (flow.arrivedBytes * 8) / flow.seconds / 1e9
}

/** µs of the server's CPU time for each frame that arrived. */
export function cpuUsPerFrame(flow: FlowOutcome): number {
  return flow.arrived === 0 ? Number.NaN : (flow.serverCpuSeconds * 1e6) / flow.arrived
}
