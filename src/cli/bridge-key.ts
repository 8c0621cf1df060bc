// `derpfleet bridge key`: the key by which a bridge is known at the relay, for the relay's list of keys (-allow-keys-file).

import { readFileText, whyUnread } from '#config/file-text.ts'
import { keyPairFrom, publicKeyText } from '#protocol/node-key.ts'
import { parseKeyFile } from '#protocol/key-file.ts'
import { readWgConfig } from '#bridge/wg-config.ts'
import { ExitCode, type Io } from './command.ts'

const USAGE = `usage: derpfleet bridge key FILE

Prints the public key of a bridge, as a relay's list of keys has it. FILE is a file of wg-quick, or a key file.
`

export async function printBridgeKey([path, ...others]: readonly string[], io: Io): Promise<number> {
  if (path === undefined || others.length > 0 || path.startsWith('-')) {
    const isHelp = path === '-help' || path === '-h'
    ;(isHelp ? io.stdout : io.stderr).write(USAGE)
    return isHelp ? ExitCode.done : ExitCode.misused
  }
  const found = publicKeyIn(path)
  if ('problem' in found) {
    io.stderr.write(`derpfleet bridge key: ${path} ${found.problem}\n`)
    return ExitCode.failed
  }
  io.stdout.write(`${publicKeyText(found.key)}\n`)
  return ExitCode.done
}

function publicKeyIn(path: string): { readonly key: Uint8Array } | { readonly problem: string } {
  const file = readFileText(path)
  if (!('text' in file)) return { problem: whyUnread(file) }
  if (!/^\s*\[interface\]/im.test(file.text)) {
    const parsed = parseKeyFile(file.text)
    return 'value' in parsed ? { key: parsed.value.publicKey } : parsed
  }
  const read = readWgConfig(path, file.text)
  if ('problems' in read) return { problem: 'is not a valid file of wg-quick' }
  const { privateKey } = read.config
  return privateKey === undefined
    ? { problem: 'has no PrivateKey' }
    : { key: keyPairFrom(privateKey).publicKey }
}
