// `derpfleet lease make`: a lease of the keys in a list, of the nodes of a Headscale, or of both. The file is replaced in one step,
// and only by a whole lease: whatever goes wrong, the last one stays, and relays go by it until its end.

import type { KeyObject } from 'node:crypto'
import { Diagnostics } from '#config/diagnostics.ts'
import { readFileText, whyUnread } from '#config/file-text.ts'
import { readFlags } from '#config/flags.ts'
import { createFiles } from '#config/new-files.ts'
import { boolean, choice, durationOf, httpUrl, integer, text } from '#config/option-kind.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { warnIfShared } from '#config/secret-mode.ts'
import { reasonOf } from '#fleet/problem.ts'
import { trustedAuthorities } from '#probe/tls-checks.ts'
import { readKeyList, type KeyList } from '#protocol/key-list.ts'
import {
  LEASE_KEYS_MAX,
  LEASE_NAME_CHARS_MAX,
  LEASE_SIGNING_KEY_EXPECTED,
  leaseKeyText,
  leaseText,
  parseSigningKey,
  readLease,
  timeText,
  type LeaseEntry,
} from '#protocol/lease.ts'
import { ExitCode, type Io } from './command.ts'
import { nodesText, readNodes, requestNodes, type HeadscaleNode } from './headscale-nodes.ts'
import { authoritiesIn } from './probe-options.ts'
import { reportProblems, reportWarnings } from './report.ts'
import { terminalText } from './terminal-text.ts'

const FILE = 'the path of a file'
/** Shorter than the clocks of relays differ, a lease would be over before it begins. */
const FOR_MS = { min: 10_000, max: 31_536_000_000 }

export const LEASE_MAKE_OPTIONS = {
  key: {
    kind: text(FILE, 'FILE'),
    about: 'Sign with this private key, of `derpfleet lease keygen` or OpenSSL',
  },
  output: {
    kind: text(FILE, 'FILE'),
    flag: 'o',
    fallbackNote: 'standard output',
    about: 'Write the lease to this file. It is replaced in one step, and never by less than a whole lease',
  },
  'keys-file': {
    kind: text(FILE, 'FILE'),
    about:
      'Take the keys of this list, in the form of -allow-keys-file. What it says of a key counts more than what Headscale says',
  },
  'headscale-url': { kind: httpUrl, about: 'Take the nodes of the Headscale at this URL, by its API' },
  'headscale-key-file': { kind: text(FILE, 'FILE'), about: 'File with the API key for -headscale-url' },
  'headscale-nodes': {
    kind: text(FILE, 'FILE'),
    about: 'Take the nodes of a file that `headscale nodes list -o json` has printed; -: of standard input',
  },
  'tenant-by': {
    kind: choice('none', 'user', 'tag'),
    fallback: 'none',
    about: "Make the user or the tag of a Headscale's node its tenant",
  },
  for: { kind: durationOf(FOR_MS.min, FOR_MS.max), fallback: '168h', about: 'How long the lease holds' },
  serial: {
    kind: integer(0),
    fallbackNote: 'the Unix time, or one more than the lease in -o has',
    about: 'Serial of the lease. Relays take no smaller one than they have seen',
  },
  ca: { kind: text('the path of a PEM file', 'FILE'), about: "Trust these authorities besides the system's" },
  help: { kind: boolean, fallback: 'false', about: 'Print this page' },
} as const satisfies OptionTable

type TenantBy = 'none' | 'user' | 'tag'

interface Asked {
  readonly key: KeyObject
  readonly output: string | undefined
  readonly list: KeyList | undefined
  readonly nodes: (() => Promise<string>) | undefined
  readonly tenantBy: TenantBy
  readonly forMs: number
  readonly serial: number | undefined
}

export async function makeLease(args: readonly string[], io: Io, usage: () => string): Promise<number> {
  const flags = readFlags(LEASE_MAKE_OPTIONS, args)
  const diagnostics = new Diagnostics()
  diagnostics.problems.push(...flags.problems)
  const values = new OptionValues(LEASE_MAKE_OPTIONS, flags.values, diagnostics.problems)
  if (values.get('help')) {
    io.stdout.write(usage())
    return ExitCode.done
  }
  const asked = askedBy(values, diagnostics)
  reportWarnings(io.stderr, diagnostics.warnings)
  if (asked === undefined || diagnostics.problems.length > 0) {
    reportProblems(io.stderr, 'derpfleet lease make: no lease made', diagnostics.problems)
    return ExitCode.misused
  }
  try {
    return await make(asked, io)
  } catch (error) {
    io.stderr.write(`derpfleet lease make: no lease made: ${terminalText(reasonOf(error))}\n`)
    return ExitCode.failed
  }
}

function askedBy(
  values: OptionValues<typeof LEASE_MAKE_OPTIONS>,
  diagnostics: Diagnostics,
): Asked | undefined {
  const keyPath = values.get('key')
  if (keyPath === undefined) return diagnostics.addProblem('-key', 'is not set', LEASE_SIGNING_KEY_EXPECTED)
  const key = signingKeyIn(keyPath, '-key', diagnostics)
  const list = listIn(values.get('keys-file'), diagnostics)
  const nodes = nodesFrom(values, diagnostics)
  if (values.get('keys-file') === undefined && nodes === undefined)
    diagnostics.addProblem(
      'lease make',
      'no keys are named',
      '-keys-file, -headscale-url or -headscale-nodes',
    )
  if (key === undefined) return undefined
  const [output, tenantBy, forMs] = [values.get('output'), values.get('tenant-by'), values.get('for')]
  return { key, output, list, nodes, tenantBy, forMs, serial: values.get('serial') }
}

/** The private key in a file that an option names. */
export function signingKeyIn(path: string, where: string, diagnostics: Diagnostics): KeyObject | undefined {
  const file = readFileText(path)
  const read = 'text' in file ? parseSigningKey(file.text) : { problem: whyUnread(file) }
  if ('problem' in read)
    return diagnostics.addProblem(where, `${path} ${read.problem}`, LEASE_SIGNING_KEY_EXPECTED)
  if ('mode' in file) warnIfShared(path, file.mode, diagnostics)
  return read.key
}

function listIn(path: string | undefined, diagnostics: Diagnostics): KeyList | undefined {
  if (path === undefined) return undefined
  const file = readFileText(path)
  if (!('text' in file)) return diagnostics.addProblem('-keys-file', `${path} ${whyUnread(file)}`)
  const read = readKeyList(path, file.text)
  if ('list' in read) return read.list
  for (const problem of read.problems) diagnostics.addProblem('-keys-file', problem)
  return undefined
}

/** How the list of nodes is got; undefined if none is wanted. */
function nodesFrom(
  values: OptionValues<typeof LEASE_MAKE_OPTIONS>,
  diagnostics: Diagnostics,
): (() => Promise<string>) | undefined {
  const [url, keyPath, path] = [
    values.get('headscale-url'),
    values.get('headscale-key-file'),
    values.get('headscale-nodes'),
  ]
  if (url !== undefined && path !== undefined)
    return diagnostics.addProblem('-headscale-nodes', 'conflicts with -headscale-url', 'one of the two')
  if (path !== undefined) return async () => await Promise.resolve(nodesText(path))
  if (url === undefined) return undefined
  if (keyPath === undefined)
    return diagnostics.addProblem(
      '-headscale-key-file',
      'is not set',
      'a file with an API key of this Headscale',
    )
  const file = readFileText(keyPath)
  const apiKey = 'text' in file ? file.text.trim() : ''
  if (!/^[!-~]+$/.test(apiKey))
    return diagnostics.addProblem(
      '-headscale-key-file',
      `${keyPath} ${'text' in file ? 'has no API key' : whyUnread(file)}`,
      'a line as "headscale apikeys create" prints it',
    )
  const authorities = trustedAuthorities({ authorities: authoritiesIn(values.get('ca'), diagnostics) })
  return async () => await requestNodes({ url, apiKey, authorities })
}

/** @throws Error if there can be no lease; then nothing is written */
async function make(asked: Asked, io: Io): Promise<number> {
  const { key, output, forMs } = asked
  const nodes = asked.nodes === undefined ? [] : readNodes(await asked.nodes())
  const nowMs = 1_000 * Math.floor(Date.now() / 1_000)
  const notAfterMs = nowMs + forMs
  const { entries, ended } = entriesOf(asked, nodes, { nowMs, notAfterMs })
  // A list that was lost on the way would keep everybody out.
  if (!entries.some(({ isAllowed }) => isAllowed)) throw new Error('no key would be allowed')
  if (entries.length > LEASE_KEYS_MAX)
    throw new Error(`there are ${entries.length} keys; expected at most ${LEASE_KEYS_MAX}`)
  const publicKey = leaseKeyText(key)
  const before = output === undefined ? undefined : serialIn(output, publicKey)
  const serial = asked.serial ?? Math.max(Math.floor(nowMs / 1_000), (before ?? -1) + 1)
  if (before !== undefined && serial <= before)
    throw new Error(`-serial is ${serial}; expected more than ${before}, which the lease in ${output} has`)
  const made = leaseText({ serial, notBeforeMs: nowMs, notAfterMs, entries }, key)
  const read = readLease(made, [publicKey])
  if ('problem' in read) throw new Error(`the lease ${read.problem}`)
  if (output === undefined) io.stdout.write(made)
  else writeLease(output, made)
  const left = ended === 0 ? '' : `, ${ended} left out because they have ended`
  io.stderr.write(`lease ${serial}: ${entries.length} keys${left}, until ${timeText(notAfterMs)}\n`)
  return ExitCode.done
}

function writeLease(path: string, made: string): void {
  const file = { path, text: made, mode: 0o644, folder: 'must exist', existing: 'is replaced' } as const
  const problem = createFiles([file])
  if (problem !== undefined) throw new Error(`${path} ${problem.found}`)
}

/** The serial of the lease in a file; undefined if it has none of this key. */
function serialIn(path: string, publicKey: string): number | undefined {
  const file = readFileText(path)
  const read = 'text' in file ? readLease(file.text, [publicKey]) : undefined
  return read !== undefined && 'lease' in read ? read.lease.serial : undefined
}

interface Times {
  readonly nowMs: number
  readonly notAfterMs: number
}

function entriesOf(
  { list, tenantBy }: Asked,
  nodes: readonly HeadscaleNode[],
  { nowMs, notAfterMs }: Times,
): { readonly entries: readonly LeaseEntry[]; readonly ended: number } {
  const listed = [...(list?.rules() ?? [])].map(([key, { isAllowed, tenant, budget }]): LeaseEntry => ({
    key,
    isAllowed,
    tenant,
    budget,
    untilMs: notAfterMs,
    name: undefined,
  }))
  const others = nodes.filter(({ key }) => list?.find(key) === undefined)
  const present = others.filter(({ untilMs }) => untilMs > nowMs)
  const tenantOf = tenantsBy(tenantBy)
  const members = present.map((node): LeaseEntry => {
    const { key, untilMs } = node
    return {
      key,
      isAllowed: true,
      tenant: tenantOf(node),
      untilMs: Math.min(untilMs, notAfterMs),
      name: shownName(node.name),
    }
  })
  return { entries: [...listed, ...members], ended: others.length - present.length }
}

/** Gives a node its tenant. @throws Error if two users or tags would be one tenant, or a node is of several */
function tenantsBy(by: TenantBy): (node: HeadscaleNode) => string | undefined {
  const sources = new Map<string, string>()
  return ({ name, user, tags }) => {
    if (by === 'none') return undefined
    if (by === 'tag' && tags.length > 1)
      throw new Error(`${name} has the tags ${tags.join(', ')}; expected one, as its tenant`)
    const source = by === 'user' ? user : tags[0]
    if (source === undefined) return undefined
    const tenant = source
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .slice(0, 32)
      .replaceAll(/^-|-$/g, '')
    const other = sources.get(tenant) ?? source
    if (tenant === '' || other !== source)
      throw new Error(`"${source}" is no name of a tenant${other === source ? '' : ` beside "${other}"`}`)
    sources.set(tenant, source)
    return tenant
  }
}

function shownName(name: string): string | undefined {
  const shown = name.replaceAll(/[^!-~]+/g, '-').slice(0, LEASE_NAME_CHARS_MAX)
  return shown === '' ? undefined : shown
}
