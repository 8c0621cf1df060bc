// Resolves the key directory over NATS: its servers, the credentials to log in with, and the secret that keys are
// hashed with. Opens no connection.

import { parseUntypedKey } from '#protocol/node-key.ts'
import { resolveAuthorities } from './certificate-settings.ts'
import type { Diagnostics } from './diagnostics.ts'
import { readFileText, whyUnread } from './file-text.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'
import type { NatsSettings } from './settings.ts'

const SERVER_EXPECTED = 'nats://HOST:PORT or tls://HOST:PORT'
const CREDENTIALS_EXPECTED = "a credentials file with a user's JWT and seed, as nsc writes it"
const SECRET_EXPECTED = 'a file with 64 hex digits'

/** Undefined without a NATS server. */
export function resolveNats(
  values: OptionValues<ServeOptions>,
  diagnostics: Diagnostics,
): NatsSettings | undefined {
  const servers = values.get('nats-url') ?? []
  if (servers.length === 0) return undefined
  for (const server of servers) {
    if (/^(nats|tls):\/\/[\w.-]+(:\d+)?$|^(nats|tls):\/\/\[[\da-f:]+\](:\d+)?$/i.test(server)) continue
    diagnostics.addProblem(
      values.where('nats-url'),
      `invalid value ${JSON.stringify(server)}`,
      SERVER_EXPECTED,
    )
  }
  if (values.get('regions-file') === undefined) {
    diagnostics.addProblem(values.where('nats-url'), 'needs a file of regions', '-regions-file')
  }
  const secret = resolveSecret(values, diagnostics)
  if (secret === undefined) return undefined
  return {
    servers,
    credentials: resolveCredentials(values, diagnostics),
    ca: resolveAuthorities(values, 'nats-ca-file', diagnostics),
    secret,
  }
}

function resolveCredentials(
  values: OptionValues<ServeOptions>,
  diagnostics: Diagnostics,
): NatsSettings['credentials'] {
  const path = values.get('nats-credentials-file')
  const text = fileText(values, 'nats-credentials-file', CREDENTIALS_EXPECTED, diagnostics)
  if (path === undefined || text === undefined) return undefined
  if (isNatsCredentials(text)) return { path, text }
  const where = values.where('nats-credentials-file')
  return diagnostics.addProblem(where, `${path} contains no credentials`, CREDENTIALS_EXPECTED)
}

/** Whether the text of a credentials file has the parts that a NATS client logs in with. */
export function isNatsCredentials(text: string): boolean {
  return /BEGIN NATS USER JWT[^]*BEGIN USER NKEY SEED/.test(text)
}

function resolveSecret(values: OptionValues<ServeOptions>, diagnostics: Diagnostics): Uint8Array | undefined {
  const where = values.where('nats-secret-file')
  if (values.get('nats-secret-file') === undefined)
    return diagnostics.addProblem(where, 'is not set', SECRET_EXPECTED)
  const secretText = fileText(values, 'nats-secret-file', SECRET_EXPECTED, diagnostics)
  if (secretText === undefined) return undefined
  const secret = parseUntypedKey(secretText.trim())
  if (secret !== undefined) return secret
  return diagnostics.addProblem(
    where,
    `${values.get('nats-secret-file')} contains no such secret`,
    SECRET_EXPECTED,
  )
}

/** The text of the file that an option names; undefined without one, or after a problem. */
function fileText(
  values: OptionValues<ServeOptions>,
  option: 'nats-credentials-file' | 'nats-secret-file',
  expected: string,
  diagnostics: Diagnostics,
): string | undefined {
  const path = values.get(option)
  if (path === undefined) return undefined
  const file = readFileText(path)
  if ('text' in file) return file.text
  return diagnostics.addProblem(values.where(option), `${path} ${whyUnread(file)}`, expected)
}
