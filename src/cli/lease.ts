// `derpfleet lease`: makes and checks the signed lists of keys that relays go by without asking anybody (-lease-file). What a lease
// is made of comes from lease-make.ts; this file has the keys that sign, the checks and the command line.

import { generateKeyPairSync } from 'node:crypto'
import { LEASE_SKEW_MS } from '#admission/leases.ts'
import { Diagnostics } from '#config/diagnostics.ts'
import { readFileText, whyUnread } from '#config/file-text.ts'
import { readFlags } from '#config/flags.ts'
import { createFiles } from '#config/new-files.ts'
import { boolean, list, text } from '#config/option-kind.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { LEASE_KEY_EXPECTED, leaseKeyText, parseLeaseKey, readLease, timeText } from '#protocol/lease.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { LEASE_MAKE_OPTIONS, makeLease, signingKeyIn } from './lease-make.ts'
import { reportProblems } from './report.ts'
import { EXIT_CODES, optionLines } from './usage.ts'

const HELP = { help: { kind: boolean, fallback: 'false', about: 'Print this page' } } as const

const KEYGEN_OPTIONS = {
  output: {
    kind: text('the path of a new file', 'FILE'),
    flag: 'o',
    about: 'Write the private key to this new file, with mode 0600',
  },
  public: {
    kind: text('the path of a key file', 'FILE'),
    about: 'Print the public key of this file, for -lease-key; create nothing',
  },
  ...HELP,
} as const satisfies OptionTable

const CHECK_OPTIONS = {
  key: {
    kind: list(LEASE_KEY_EXPECTED, 'KEY,...'),
    about: 'The public keys whose signatures count, as in -lease-key',
  },
  ...HELP,
} as const satisfies OptionTable

const VERBS: Readonly<Record<string, (args: readonly string[], io: Io) => number | Promise<number>>> = {
  keygen,
  make: async (args, io) => await makeLease(args, io, usage),
  check,
}

export const lease: Command = {
  name: 'lease',
  summary: 'Make and check signed lists of keys, by which relays admit clients without asking',
  async run([name = '', ...args], io) {
    const verb = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined
    if (verb !== undefined) return await verb(args, io)
    const isHelp = /^--?h(elp)?$/.test(name)
    const sink = isHelp ? io.stdout : io.stderr
    sink.write(usage())
    return isHelp ? ExitCode.done : ExitCode.misused
  },
}

function keygen(args: readonly string[], io: Io): number {
  const flags = readFlags(KEYGEN_OPTIONS, args)
  const problems = [...flags.problems]
  const values = new OptionValues(KEYGEN_OPTIONS, flags.values, problems)
  if (values.get('help')) return help(io)
  const [path, publicOf] = [values.get('output'), values.get('public')]
  if (path !== undefined && publicOf !== undefined)
    problems.push({ where: '-public', found: 'creates nothing', expected: '-public without -o' })
  // With an unset variable, `-o "$FILE"` must not print the secret instead.
  for (const name of ['output', 'public'] as const)
    if (flags.values.get(name)?.text === '')
      problems.push({
        where: values.where(name),
        found: 'is empty',
        expected: KEYGEN_OPTIONS[name].kind.expected,
      })
  if (problems.length > 0) {
    reportProblems(io.stderr, 'derpfleet lease keygen: no key created', problems)
    return ExitCode.misused
  }
  return publicOf === undefined ? createKey(path, io) : printPublicKey(publicOf, io)
}

function createKey(path: string | undefined, io: Io): number {
  const { privateKey } = generateKeyPairSync('ed25519')
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const publicKey = `${leaseKeyText(privateKey)}\n`
  if (path === undefined) {
    io.stdout.write(pem)
    io.stderr.write(publicKey)
    return ExitCode.done
  }
  const problem = createFiles([{ path, text: pem, mode: 0o600, folder: 'must exist', existing: 'is kept' }])
  if (problem !== undefined) {
    reportProblems(io.stderr, 'derpfleet lease keygen: no key created', [problem])
    return ExitCode.failed
  }
  io.stdout.write(publicKey)
  return ExitCode.done
}

function printPublicKey(path: string, io: Io): number {
  const diagnostics = new Diagnostics()
  const key = signingKeyIn(path, '-public', diagnostics)
  if (key === undefined) {
    reportProblems(io.stderr, 'derpfleet lease keygen: nothing printed', diagnostics.problems)
    return ExitCode.failed
  }
  io.stdout.write(`${leaseKeyText(key)}\n`)
  return ExitCode.done
}

function check(args: readonly string[], io: Io): number {
  const [path = '', ...others] = args[0]?.startsWith('-') === true ? ['', ...args] : args
  const flags = readFlags(CHECK_OPTIONS, others)
  const problems = [...flags.problems]
  const values = new OptionValues(CHECK_OPTIONS, flags.values, problems)
  if (values.get('help')) return help(io)
  const keys = values.get('key') ?? []
  if (path === '')
    problems.push({ where: 'lease check', found: 'no file is named', expected: 'the path of a lease' })
  if (keys.length === 0 || keys.some((key) => parseLeaseKey(key) === undefined))
    problems.push({
      where: '-key',
      found: keys.length === 0 ? 'is not set' : 'has a value that is no key',
      expected: LEASE_KEY_EXPECTED,
    })
  if (problems.length > 0) {
    reportProblems(io.stderr, 'derpfleet lease check: nothing checked', problems)
    return ExitCode.misused
  }
  const { isValid, detail } = judged(path, keys, Date.now())
  const sink = isValid ? io.stdout : io.stderr
  sink.write(`${path} ${detail}\n`)
  return isValid ? ExitCode.done : ExitCode.failed
}

/** What a relay that has seen no other lease makes of the file. */
function judged(path: string, keys: readonly string[], nowMs: number): { isValid: boolean; detail: string } {
  const file = readFileText(path)
  if (!('text' in file)) return { isValid: false, detail: whyUnread(file) }
  const read = readLease(file.text, keys)
  if ('problem' in read) return { isValid: false, detail: read.problem }
  const { serial, notBeforeMs, notAfterMs, entries } = read.lease
  if (notAfterMs <= nowMs) return { isValid: false, detail: `has ended at ${timeText(notAfterMs)}` }
  if (notBeforeMs - LEASE_SKEW_MS > nowMs)
    return { isValid: false, detail: `begins at ${timeText(notBeforeMs)}` }
  const all = [...entries.values()]
  const allowed = all.filter(({ isAllowed, untilMs }) => isAllowed && untilMs > nowMs).length
  const denied = all.filter(({ isAllowed }) => !isAllowed).length
  const counts = `${allowed} keys allowed, ${denied} denied, ${all.length - allowed - denied} ended`
  return { isValid: true, detail: `is valid: serial ${serial}, ${counts}, until ${timeText(notAfterMs)}` }
}

function help(io: Io): number {
  io.stdout.write(usage())
  return ExitCode.done
}

function usage(): string {
  return `usage: derpfleet lease keygen [-o FILE]
       derpfleet lease keygen -public FILE
       derpfleet lease make -key FILE [-FLAG VALUE]...
       derpfleet lease check FILE -key KEY,...

  keygen  Create the Ed25519 key that signs leases, and print its public key for -lease-key
  make    Make a lease from a list of keys, from Headscale, or from both
  check   Say whether relays with these keys go by a lease

keygen:
${optionLines(KEYGEN_OPTIONS)}
make:
${optionLines(LEASE_MAKE_OPTIONS)}
check:
${optionLines(CHECK_OPTIONS)}
${EXIT_CODES}`
}
