// The pages of the program's own file that the process has mapped: machine code and constants of Node. A start touches some 60 MB of
// them, a relay that runs a third of that. They are the system's, which may take them at any time, but count as the process's until
// then. `releasePages` hands them back at once; what is used again comes from the system's file cache.
//
// Contract: only pages that are as they are in the file, in places that nobody can write to. Nothing else is ever named to the system.

import { readFileSync } from 'node:fs'
import type { Native } from './native.ts'

interface Place {
  readonly address: number
  readonly bytes: number
}

/** Not worth a call. */
const RESIDENT_KB_MIN = 1_024

/** Returns how many places were released. */
export function releasePages(native: Pick<Native, 'releasePages'>): number {
  return releasablePlaces(mappings(), process.execPath).filter(
    ({ address, bytes }) => native.releasePages(address, bytes) === 0,
  ).length
}

/** Empty where the system does not tell. */
function mappings(): string {
  try {
    return readFileSync('/proc/self/smaps', 'latin1')
  } catch {
    return ''
  }
}

/** The places of that file in the text of /proc/self/smaps. */
export function releasablePlaces(text: string, path: string): readonly Place[] {
  // Each begins with a line such as `00e37000-032e7000 r-xp 00a37000 fe:00 4711   /usr/bin/node`, and ends before the next.
  const places = text.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
  return places.flatMap((place) => {
    const [, start = '', end = '', file] = /^(\w+)-(\w+) r-[x-]p \w+ \S+ \d+ +(.*)$/m.exec(place) ?? []
    const kilobytes = (name: string): number =>
      Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(place)?.[1] ?? NaN)
    const isAsInFile = kilobytes('Private_Dirty') === 0 && kilobytes('Anonymous') === 0
    if (file !== path || !isAsInFile || kilobytes('Rss') < RESIDENT_KB_MIN) return []
    const address = Number.parseInt(start, 16)
    return [{ address, bytes: Number.parseInt(end, 16) - address }]
  })
}
