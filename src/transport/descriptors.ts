// How many descriptors this process may have, and how many of them clients may take: when all are used nothing works any
// more, neither the admin port nor the log nor the answer "no". Linux tells the limit in /proc; elsewhere there is none.

import { closeSync, openSync, readFileSync } from 'node:fs'

/** For the admin port's scrapers, siblings, files that are read again, names that are looked up. */
const SPARE_MIN = 16
const SPARE_MAX = 256
const SPARE_SHARE = 1 / 8

/** Infinity where the system does not tell. Node has raised it as far as it may. */
export function descriptorsMax(): number {
  try {
    const [, limit = ''] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? []
    return /^\d+$/.test(limit) ? Number(limit) : Infinity
  } catch {
    return Infinity
  }
}

/** A client whose descriptor is this or higher is not taken. */
export function clientDescriptorsEnd(max: number): number {
  return max - Math.min(SPARE_MAX, Math.max(SPARE_MIN, Math.ceil(max * SPARE_SHARE)))
}

/** The system gives the lowest number that is free, so it tells how full the table is; Infinity when it is full. */
export function lowestFreeDescriptor(): number {
  try {
    const descriptor = openSync('/dev/null', 'r')
    closeSync(descriptor)
    return descriptor
  } catch {
    return Infinity
  }
}
