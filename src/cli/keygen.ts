// `derpfleet keygen`: creates a relay's key in derper's format, or a mesh key, and prints the public key of a key file.

import { randomBytes } from 'node:crypto'
import { readFileText, whyUnread } from '#config/file-text.ts'
import { readFlags } from '#config/flags.ts'
import { boolean, text } from '#config/option-kind.ts'
import { createFiles } from '#config/new-files.ts'
import { newKeyPair } from '#config/key-settings.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { toHex } from '#protocol/bytes.ts'
import { formatKeyFile, parseKeyFile } from '#protocol/key-file.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { reportProblems } from './report.ts'
import { EXIT_CODES, optionLines } from './usage.ts'

const KEYGEN_OPTIONS = {
  o: {
    kind: text('the path of a new file', 'FILE'),
    about: 'Write the key to this new file, with mode 0600',
  },
  mesh: {
    kind: boolean,
    fallback: 'false',
    about: 'Create a mesh key (64 hex digits), which all relays that mesh with each other share',
  },
  public: {
    kind: text('the path of a key file', 'FILE'),
    about: 'Print the public key of this key file; create nothing',
  },
  help: { kind: boolean, fallback: 'false', about: 'Print this page' },
} as const satisfies OptionTable

export const keygen: Command = {
  name: 'keygen',
  summary: "Create a relay's key (derper.key) or a mesh key",
  async run(args, io) {
    const flags = readFlags(KEYGEN_OPTIONS, args)
    const problems = [...flags.problems]
    const values = new OptionValues(KEYGEN_OPTIONS, flags.values, problems)
    if (values.get('help')) {
      io.stdout.write(`usage: derpfleet keygen [-o FILE] [-mesh]\n       derpfleet keygen -public FILE\n\n`)
      io.stdout.write(`${optionLines(KEYGEN_OPTIONS)}\n${EXIT_CODES}`)
      return ExitCode.done
    }
    const publicOf = values.get('public')
    if (publicOf !== undefined && (values.get('mesh') || values.get('o') !== undefined)) {
      problems.push({
        where: values.where('public'),
        found: 'creates nothing',
        expected: '-public without -mesh and -o',
      })
    }
    // With an unset variable, `-o "$FILE"` must not print the secret instead.
    for (const name of ['o', 'public'] as const) {
      if (flags.values.get(name)?.text !== '') continue
      problems.push({ where: `-${name}`, found: 'is empty', expected: KEYGEN_OPTIONS[name].kind.expected })
    }
    if (problems.length > 0) {
      reportProblems(io.stderr, 'derpfleet keygen: no key created', problems)
      return ExitCode.misused
    }
    if (publicOf !== undefined) return printPublicKey(publicOf, io)
    return values.get('mesh') ? createMeshKey(values.get('o'), io) : createNodeKey(values.get('o'), io)
  },
}

/** Writes the key to the file or standard output. The public key goes to standard output or standard error. */
function createNodeKey(path: string | undefined, io: Io): number {
  const pair = newKeyPair()
  if (!writeSecret(formatKeyFile(pair), path, io)) return ExitCode.failed
  const publicKey = `${publicKeyText(pair.publicKey)}\n`
  if (path === undefined) io.stderr.write(publicKey)
  else io.stdout.write(publicKey)
  return ExitCode.done
}

function createMeshKey(path: string | undefined, io: Io): number {
  // With a newline, so that another key can be appended.
  return writeSecret(path === undefined ? toHex(randomBytes(32)) : `${toHex(randomBytes(32))}\n`, path, io)
    ? ExitCode.done
    : ExitCode.failed
}

function writeSecret(secret: string, path: string | undefined, io: Io): boolean {
  if (path === undefined) {
    io.stdout.write(`${secret}\n`)
    return true
  }
  const file = { path, text: secret, mode: 0o600, folder: 'must exist', existing: 'is kept' } as const
  const problem = createFiles([file])
  if (problem !== undefined) reportProblems(io.stderr, 'derpfleet keygen: no key created', [problem])
  return problem === undefined
}

function printPublicKey(path: string, io: Io): number {
  const file = readFileText(path)
  const parsed = 'text' in file ? parseKeyFile(file.text) : { problem: whyUnread(file) }
  if ('problem' in parsed) {
    io.stderr.write(`derpfleet keygen: ${path} ${parsed.problem}\n`)
    return ExitCode.failed
  }
  io.stdout.write(`${publicKeyText(parsed.value.publicKey)}\n`)
  return ExitCode.done
}
