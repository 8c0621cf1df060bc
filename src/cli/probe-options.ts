// What `derpfleet probe` is asked: the words and flags of its command line, checked and completed. Files that flags
// name are read here, so that a mistake in them is a complaint before anything is probed; the map is not, because
// whether it can be had is a finding.

import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { readFileText, whyUnread } from '#config/file-text.ts'
import { Findings } from '#config/diagnostics.ts'
import { readFlags } from '#config/flags.ts'
import { boolean, duration, integer, text, type Kind } from '#config/option-kind.ts'
import { OptionValues } from '#config/option-values.ts'
import { flagNames, type OptionTable } from '#config/option.ts'
import type { Problem } from '#fleet/problem.ts'
import { parseMeshKeys } from '#protocol/key-file.ts'
import { parseTarget, TARGET_EXPECTED, type ProbeTarget } from '#probe/target.ts'

/** 4 or 6, as in IPv4 and IPv6. */
export type IpFamily = 4 | 6

export interface ProbeSettings {
  readonly target: ProbeTarget
  /** The target as it was written. */
  readonly targetText: string
  /** For each step of a check. */
  readonly timeoutMs: number
  readonly families: readonly IpFamily[]
  /** Undefined: the map's, or the usual one. −1: STUN is not asked. */
  readonly stunPort: number | undefined
  /** Undefined: as the map says. −1: captive-portal checks go to the DERP port. */
  readonly httpPort: number | undefined
  readonly meshKey: Uint8Array | undefined
  /** PEM of authorities that are trusted beside the system's. */
  readonly authorities: readonly string[]
  readonly isInsecure: boolean
  readonly pin: string | undefined
  /** Code or number of the only region to probe. */
  readonly region: string | undefined
  readonly usesWebSocket: boolean
  readonly isJson: boolean
}

/** Node's timers end at 24 days; nobody waits for a relay that long either. */
const TIMEOUT_MS_MAX = 600_000

const timeout: Kind<number> = {
  ...duration,
  expected: 'a duration up to 10m, such as 5s or 500ms',
  parse: (given) => {
    const ms = duration.parse(given)
    return ms !== undefined && ms >= 1 && ms <= TIMEOUT_MS_MAX ? ms : undefined
  },
}

const portOrOff: Kind<number> = {
  ...integer(-1, 65_535),
  expected: 'a port from 1 to 65535, or -1 for none',
  parse: (given) => integer(-1, 65_535).parse(given) || undefined,
}

const PIN = /^sha256-raw:[0-9a-f]{64}$/

const pin: Kind<string> = {
  ...text('sha256-raw: and 64 hex digits in lower case'),
  parse: (given) => (PIN.test(given) ? given : undefined),
}

export const PROBE_OPTIONS = {
  pin: { kind: pin, about: 'Take this certificate and no other, as CertName in a DERP map says it' },
  ca: { kind: text('the path of a PEM file', 'FILE'), about: "Trust these authorities beside the system's" },
  insecure: { kind: boolean, fallback: 'false', about: 'Verify no certificate' },
  'mesh-psk-file': {
    kind: text('the path of a file', 'FILE'),
    about: "Log in with the relay's mesh key, for relays that admit only clients they know",
  },
  region: { kind: text("a region's code or number"), about: 'Of a map, probe this region alone' },
  'stun-port': {
    kind: portOrOff,
    fallbackNote: "the map's, else 3478",
    about: 'Where STUN is asked; -1 is not at all',
  },
  'http-port': {
    kind: portOrOff,
    fallbackNote: '80 where the map says CanPort80, else -1',
    about: 'Where captive-portal checks are made; -1 is the DERP port',
  },
  ipv4: { kind: boolean, fallback: 'false', about: 'Probe over IPv4 alone' },
  ipv6: { kind: boolean, fallback: 'false', about: 'Probe over IPv6 alone' },
  websocket: { kind: boolean, fallback: 'true', about: 'Log in over WebSocket too' },
  timeout: { kind: timeout, fallback: '5s', about: 'For each step: a connection, an answer, a packet' },
  json: { kind: boolean, fallback: 'false', about: 'Print one JSON document instead of a table' },
  help: { kind: boolean, fallback: 'false', about: 'Print this page' },
} as const satisfies OptionTable

export type ProbeRequest =
  | { readonly kind: 'probe'; readonly settings: ProbeSettings }
  | { readonly kind: 'help' }
  | { readonly kind: 'misused'; readonly problems: readonly Problem[] }

/** Reads a command line; all that is wrong with it is told at once. */
export function readProbeRequest(args: readonly string[]): ProbeRequest {
  const { targetText, pinWord, rest } = splitWords(args)
  const flags = readFlags(PROBE_OPTIONS, pinWord === undefined ? rest : ['-pin', pinWord, ...rest])
  const findings = new Findings()
  findings.problems.push(...flags.problems)
  const values = new OptionValues(PROBE_OPTIONS, flags.values, findings.problems)
  if (values.get('help')) return { kind: 'help' }
  const target = targetText === undefined ? undefined : parseTarget(targetText)
  if (target === undefined) {
    const found = targetText === undefined ? 'none is given' : `${JSON.stringify(targetText)} is none`
    findings.complain('target', found, TARGET_EXPECTED)
  }
  complainOfContradictions(values, target, findings)
  const settings = {
    timeoutMs: values.get('timeout'),
    families: families(values, target),
    stunPort: values.get('stun-port'),
    httpPort: values.get('http-port'),
    meshKey: meshKey(values, findings),
    authorities: authorities(values, findings),
    isInsecure: values.get('insecure'),
    pin: values.get('pin'),
    region: values.get('region'),
    usesWebSocket: values.get('websocket'),
    isJson: values.get('json'),
  }
  if (target === undefined || targetText === undefined || findings.problems.length > 0) {
    return { kind: 'misused', problems: findings.problems }
  }
  return { kind: 'probe', settings: { target, targetText, ...settings } }
}

type ProbeValues = OptionValues<typeof PROBE_OPTIONS>

interface Words {
  readonly targetText: string | undefined
  /** A pin may stand behind the target without its flag. */
  readonly pinWord: string | undefined
  /** The flags with their values, and words that belong nowhere. */
  readonly rest: readonly string[]
}

/** Takes the words that belong to no flag out of a command line. */
function splitWords(args: readonly string[]): Words {
  const takesValue = new Set(
    Object.entries(PROBE_OPTIONS).flatMap(([word, option]) =>
      'isBoolean' in option.kind && option.kind.isBoolean ? [] : flagNames(word, option),
    ),
  )
  let targetText: string | undefined
  let pinWord: string | undefined
  const rest: string[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? ''
    if (arg.startsWith('-')) {
      rest.push(arg)
      const value = args[at + 1]
      if (takesValue.has(arg.replace(/^--?/, '')) && value !== undefined) rest.push(args[++at] ?? '')
    } else if (arg.startsWith('sha256-raw:') && pinWord === undefined) {
      pinWord = arg
    } else if (targetText === undefined) {
      targetText = arg
    } else {
      rest.push(arg)
    }
  }
  return { targetText, pinWord, rest }
}

function complainOfContradictions(
  values: ProbeValues,
  target: ProbeTarget | undefined,
  findings: Findings,
): void {
  const isPinned = values.get('pin') !== undefined
  if (values.get('ipv4') && values.get('ipv6')) {
    findings.complain('-ipv4', 'contradicts -ipv6', 'one of the two; without both, each is probed')
  }
  const other = { 4: 'ipv6', 6: 'ipv4' } as const
  const ofAddress = addressFamily(target)
  if (ofAddress !== undefined && values.get(other[ofAddress])) {
    findings.complain(`-${other[ofAddress]}`, `contradicts the target, an IPv${ofAddress} address`)
  }
  if (isPinned && values.get('insecure')) findings.complain('-pin', 'contradicts -insecure')
  if (isPinned && target !== undefined && target.kind !== 'relay') {
    findings.complain('-pin', 'is for one relay', "a map's nodes have their pins in CertName")
  }
  if (isPinned && target?.kind === 'relay' && target.isPlain) {
    findings.complain('-pin', 'has no certificate to be compared with, as the target says http')
  }
  if (values.get('region') !== undefined && target?.kind === 'relay') {
    findings.complain('-region', 'is for a map', 'it without a single relay')
  }
}

function families(values: ProbeValues, target: ProbeTarget | undefined): readonly IpFamily[] {
  const ofAddress = addressFamily(target)
  if (ofAddress !== undefined) return [ofAddress]
  if (values.get('ipv4')) return [4]
  return values.get('ipv6') ? [6] : [4, 6]
}

/** The family of a target that is an address; undefined for names and maps, which may have both. */
function addressFamily(target: ProbeTarget | undefined): IpFamily | undefined {
  const version = target?.kind === 'relay' ? isIP(target.host) : 0
  return version === 4 || version === 6 ? version : undefined
}

function meshKey(values: ProbeValues, findings: Findings): Uint8Array | undefined {
  const path = values.get('mesh-psk-file')
  if (path === undefined) return undefined
  const file = readFileText(path)
  const parsed = 'text' in file ? parseMeshKeys(file.text) : { problem: whyUnread(file) }
  if ('problem' in parsed) return findings.complain('-mesh-psk-file', `${path} ${parsed.problem}`)
  return parsed.value[0]
}

function authorities(values: ProbeValues, findings: Findings): readonly string[] {
  const path = values.get('ca')
  if (path === undefined) return []
  const file = readFileText(path)
  const expected = 'PEM (-----BEGIN CERTIFICATE-----)'
  if (!('text' in file)) {
    findings.complain('-ca', `${path} ${whyUnread(file)}`, expected)
    return []
  }
  const found = file.text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  if (found.length === 0 || !found.every(isCertificate)) {
    findings.complain('-ca', `${path} contains no readable certificate`, expected)
  }
  return found
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0
  } catch {
    return false
  }
}
