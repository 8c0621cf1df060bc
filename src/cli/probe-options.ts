// The command line of `derpfleet probe`: its options, and how arguments become a request. Files that options name are
// read here, so that a mistake in them is reported before anything is probed. The map is not read here: whether it can
// be loaded is a finding of the probe.

import { isIP } from 'node:net'
import { readAuthoritiesFile } from '#config/certificate-files.ts'
import { readFileText, whyUnread } from '#config/file-text.ts'
import { Diagnostics } from '#config/diagnostics.ts'
import { readFlags } from '#config/flags.ts'
import { boolean, duration, integer, list, text, type OptionKind } from '#config/option-kind.ts'
import { OptionValues } from '#config/option-values.ts'
import { flagNames, type Option, type OptionTable } from '#config/option.ts'
import type { Problem } from '#fleet/problem.ts'
import type { ProbeRequest } from '#probe/probe.ts'
import type { IpFamily } from '#probe/settings.ts'
import { parseTarget, TARGET_EXPECTED, type ProbeTarget } from '#probe/target.ts'
import { parseKeyFile, parseMeshKeys } from '#protocol/key-file.ts'
import type { KeyPair } from '#protocol/node-key.ts'

/** Far below the longest delay of Node's timers, which is 24 days. */
const TIMEOUT_MS_MAX = 600_000

/** Of one step. */
export const timeout: OptionKind<number> = {
  ...duration,
  expected: 'a duration up to 10m, such as 5s or 500ms',
  parse: (given) => {
    const ms = duration.parse(given)
    return ms !== undefined && ms >= 1 && ms <= TIMEOUT_MS_MAX ? ms : undefined
  },
}

const portOrOff: OptionKind<number> = {
  ...integer(-1, 65_535),
  expected: 'a port from 1 to 65535, or -1',
  placeholder: 'PORT',
  parse: (given) => integer(-1, 65_535).parse(given) || undefined,
}

const PIN = /^sha256-raw:[0-9a-f]{64}$/

const pin: OptionKind<string> = {
  ...text('sha256-raw: and 64 lower-case hex digits', 'PIN'),
  parse: (given) => (PIN.test(given) ? given : undefined),
}

export const PROBE_OPTIONS = {
  pin: { kind: pin, about: 'Accept only this certificate; the format is that of CertName in a DERP map' },
  ca: { kind: text('the path of a PEM file', 'FILE'), about: "Trust these authorities besides the system's" },
  insecure: { kind: boolean, fallback: 'false', about: 'Do not verify certificates' },
  'mesh-psk-file': {
    kind: text('the path of a file', 'FILE'),
    about:
      'Log in with the mesh key in this file, so that a relay that admits only known clients admits the probe',
  },
  'key-file': {
    kind: list('the paths of one or two key files, as "derpfleet keygen" makes them', 'FILE,FILE'),
    fallbackNote: 'new keys',
    about:
      'Log in with these node keys, which a list of keys or a lease allows: of a client that sends, and of one that receives. With one key, packets are sent to itself, and no packet from relay to relay',
  },
  region: {
    kind: text("a region's code or number", 'CODE|NUMBER'),
    fallbackNote: 'all regions',
    about: 'Probe only this region of a map',
  },
  'stun-port': {
    kind: portOrOff,
    fallbackNote: "the map's port, else 3478",
    about: 'Send STUN requests to this port. -1 skips the STUN checks',
  },
  'http-port': {
    kind: portOrOff,
    fallbackNote: '80 if the map sets CanPort80, else -1',
    about: 'Make the captive-portal check on this plain HTTP port. -1 uses the DERP port',
  },
  ipv4: { kind: boolean, fallback: 'false', about: 'Probe only over IPv4' },
  ipv6: { kind: boolean, fallback: 'false', about: 'Probe only over IPv6' },
  websocket: { kind: boolean, fallback: 'true', about: 'Also log in over WebSocket' },
  timeout: {
    kind: timeout,
    fallback: '5s',
    about: 'Set the time limit of each step: a connection, a response, a packet',
  },
  json: { kind: boolean, fallback: 'false', about: 'Print one JSON document instead of a table' },
  help: { kind: boolean, fallback: 'false', about: 'Print this page' },
} as const satisfies OptionTable

export interface ProbeArguments {
  readonly kind: 'probe'
  readonly request: ProbeRequest
  /** The target as it was written. */
  readonly targetText: string
  readonly isJson: boolean
}

/** Reads a command line. All problems are reported at once. */
export function readProbeArguments(
  args: readonly string[],
):
  | ProbeArguments
  | { readonly kind: 'help' }
  | { readonly kind: 'misused'; readonly problems: readonly Problem[] } {
  const { targetText, pinText, rest } = splitArguments(args)
  const flags = readFlags(PROBE_OPTIONS, pinText === undefined ? rest : ['-pin', pinText, ...rest])
  const diagnostics = new Diagnostics()
  diagnostics.problems.push(...flags.problems)
  const values = new OptionValues(PROBE_OPTIONS, flags.values, diagnostics.problems)
  if (values.get('help')) return { kind: 'help' }
  const target = targetText === undefined ? undefined : parseTarget(targetText)
  if (target === undefined) {
    const found = targetText === undefined ? 'missing' : `invalid value ${JSON.stringify(targetText)}`
    diagnostics.addProblem('target', found, TARGET_EXPECTED)
  }
  checkContradictions(values, target, diagnostics)
  const settings = {
    timeoutMs: values.get('timeout'),
    families: families(values, target),
    stunPort: values.get('stun-port'),
    httpPort: values.get('http-port'),
    meshKey: meshKeyIn(values.get('mesh-psk-file'), diagnostics),
    keys: nodeKeysIn(values.get('key-file') ?? [], diagnostics),
    authorities: authoritiesIn(values.get('ca'), diagnostics),
    isInsecure: values.get('insecure'),
    pin: values.get('pin'),
    usesWebSocket: values.get('websocket'),
  }
  if (target === undefined || targetText === undefined || diagnostics.problems.length > 0) {
    return { kind: 'misused', problems: diagnostics.problems }
  }
  const request = { target, region: values.get('region'), settings }
  return { kind: 'probe', request, targetText, isJson: values.get('json') }
}

type ProbeValues = OptionValues<typeof PROBE_OPTIONS>

interface SplitArguments {
  readonly targetText: string | undefined
  /** A pin may follow the target without its flag. */
  readonly pinText: string | undefined
  /** The flags with their values, and arguments that are neither. */
  readonly rest: readonly string[]
}

/** Separates the target and the pin from the flags, wherever they stand. */
export function splitArguments(args: readonly string[], table: OptionTable = PROBE_OPTIONS): SplitArguments {
  const takesValue = new Set(
    Object.entries<Option>(table).flatMap(([key, option]) =>
      'isBoolean' in option.kind && option.kind.isBoolean ? [] : flagNames(key, option),
    ),
  )
  let targetText: string | undefined
  let pinText: string | undefined
  const rest: string[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? ''
    if (arg.startsWith('-')) {
      rest.push(arg)
      const value = args[at + 1]
      if (takesValue.has(arg.replace(/^--?/, '')) && value !== undefined) rest.push(args[++at] ?? '')
    } else if (arg.startsWith('sha256-raw:') && pinText === undefined) {
      pinText = arg
    } else if (targetText === undefined) {
      targetText = arg
    } else {
      rest.push(arg)
    }
  }
  return { targetText, pinText, rest }
}

function checkContradictions(
  values: ProbeValues,
  target: ProbeTarget | undefined,
  diagnostics: Diagnostics,
): void {
  const isPinned = values.get('pin') !== undefined
  if (values.get('ipv4') && values.get('ipv6')) {
    diagnostics.addProblem(
      '-ipv4',
      'conflicts with -ipv6',
      'only one of the two; without them, both are probed',
    )
  }
  const other = { 4: 'ipv6', 6: 'ipv4' } as const
  const ofAddress = addressFamily(target)
  if (ofAddress !== undefined && values.get(other[ofAddress])) {
    diagnostics.addProblem(
      `-${other[ofAddress]}`,
      `conflicts with the target, which is an IPv${ofAddress} address`,
    )
  }
  if (isPinned && values.get('insecure')) diagnostics.addProblem('-pin', 'conflicts with -insecure')
  if (isPinned && target !== undefined && target.kind !== 'relay') {
    diagnostics.addProblem('-pin', 'has no effect with a map', 'pins of nodes as CertName in the map')
  }
  if (isPinned && target?.kind === 'relay' && target.isPlain) {
    diagnostics.addProblem('-pin', 'conflicts with the http:// target, which has no certificate')
  }
  if (values.get('region') !== undefined && target?.kind === 'relay') {
    diagnostics.addProblem('-region', 'has no effect with a single relay', 'a map as target')
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

/** The mesh key in the file that `-mesh-psk-file` names. */
export function meshKeyIn(path: string | undefined, diagnostics: Diagnostics): Uint8Array | undefined {
  if (path === undefined) return undefined
  const file = readFileText(path)
  const parsed = 'text' in file ? parseMeshKeys(file.text) : { problem: whyUnread(file) }
  if ('problem' in parsed) return diagnostics.addProblem('-mesh-psk-file', `${path} ${parsed.problem}`)
  return parsed.value[0]
}

function nodeKeysIn(paths: readonly string[], diagnostics: Diagnostics): readonly KeyPair[] {
  if (paths.length > 2) diagnostics.addProblem('-key-file', `has ${paths.length} files`, 'one or two')
  return paths.flatMap((path) => {
    const file = readFileText(path)
    const parsed = 'text' in file ? parseKeyFile(file.text) : { problem: whyUnread(file) }
    return 'value' in parsed
      ? [parsed.value]
      : (diagnostics.addProblem('-key-file', `${path} ${parsed.problem}`) ?? [])
  })
}

/** The authorities in the file that `-ca` names. */
export function authoritiesIn(path: string | undefined, diagnostics: Diagnostics): readonly string[] {
  if (path === undefined) return []
  const read = readAuthoritiesFile(path)
  if ('pem' in read) return [read.pem]
  diagnostics.addProblem('-ca', read.found, 'a PEM file of certificates')
  return []
}
