// One finding of the doctor: a named check and its result, with what was seen, what was expected and what to do. The names
// are for programs and for docs/doctor.md, and do not change. Pure data.

import { printable } from '#probe/check.ts'

/** In the order in which they are printed. */
export const CHECK_NAMES = [
  // The relay by its own words.
  'relay',
  'ready',
  'settings',
  'clock',
  'versions',
  'descriptors',
  'somaxconn',
  'notsent-lowat',
  'conntrack',
  'state-folder',
  'regions-file',
  'admission',
  'renewal',
  'siblings',
  'mesh-key',
  'node-key',
  'nodes',
  // Every port, from another relay of the fleet.
  'outside',
  'derp-port',
  'stun-port',
  'http-port',
  'stun-address',
  'ipv6',
  'hairpin',
  'identity',
  // The way of a client from here.
  'addresses',
  'tls',
  'certificate',
  'upgrade',
  'login',
  'packets',
  'pages',
  'mesh',
  // The map, as those who read it see it.
  'map-client',
  'map-headscale',
  'map-relay',
] as const
export type CheckName = (typeof CHECK_NAMES)[number]

export type FindingStatus = 'ok' | 'warn' | 'fail' | 'skip'

export interface Finding {
  readonly check: CheckName
  /** The relay, port or file that it is about; empty: the examined relay. */
  readonly subject: string
  readonly status: FindingStatus
  /** What was seen; of a skipped check, why it was. */
  readonly seen: string
  readonly expected: string
  /** What to do. */
  readonly advice: string
}

export interface Problem {
  readonly seen: string
  readonly expected: string
  readonly advice: string
  readonly subject?: string
}

export function ok(check: CheckName, seen: string, subject = ''): Finding {
  return clean({ check, subject, status: 'ok', seen, expected: '', advice: '' })
}

export function skip(check: CheckName, seen: string, subject = ''): Finding {
  return clean({ check, subject, status: 'skip', seen, expected: '', advice: '' })
}

/** It works, but not as well or as long as it should. */
export function warn(check: CheckName, problem: Problem): Finding {
  return clean({ check, status: 'warn', subject: '', ...problem })
}

export function fail(check: CheckName, problem: Problem): Finding {
  return clean({ check, status: 'fail', subject: '', ...problem })
}

/** Part of a text may come from a server that is not ours, and must not control a terminal. */
function clean(finding: Finding): Finding {
  const { subject, seen, expected, advice } = finding
  return {
    ...finding,
    subject: printable(subject),
    seen: printable(seen),
    expected: printable(expected),
    advice: printable(advice),
  }
}

/** The order of the table: by check, as they stand above. */
export function inOrder(findings: readonly Finding[]): readonly Finding[] {
  return [...findings].sort((a, b) => CHECK_NAMES.indexOf(a.check) - CHECK_NAMES.indexOf(b.check))
}

/** The first of the list with its number, for a sentence. */
export function listed(items: readonly string[], max = 3): string {
  const more = items.length > max ? ` and ${items.length - max} more` : ''
  return items.slice(0, max).join('; ') + more
}
