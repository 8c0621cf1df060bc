// How many file descriptors this process may open, and how many of them clients may use. When all are in use, nothing works
// any more: not the admin port, not the log, not even refusing a connection. Linux tells the limit in /proc; on other systems
// no limit is known.

import { closeSync, openSync, readFileSync } from 'node:fs'

/** For scrapers of the admin port, siblings, files that are read again, and name lookups. */
const SPARE_MIN = 16
const SPARE_MAX = 256
const SPARE_SHARE = 1 / 8

/** Infinity where the system does not tell. Node has already raised the limit as far as it may. */
export function descriptorsMax(): number {
  try {
    const [, limit = ''] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? []
    return /^\d+$/.test(limit) ? Number(limit) : Infinity
  } catch {
    return Infinity
  }
}

/** A client connection whose descriptor is this number or a higher one is refused. */
export function clientDescriptorsEnd(max: number): number {
  return max - Math.min(SPARE_MAX, Math.max(SPARE_MIN, Math.ceil(max * SPARE_SHARE)))
}

/** The system assigns the lowest free number, so this tells how full the table is; Infinity if the table is full. */
export function lowestFreeDescriptor(): number {
  try {
    const descriptor = openSync('/dev/null', 'r')
    closeSync(descriptor)
    return descriptor
  } catch {
    return Infinity
  }
}
