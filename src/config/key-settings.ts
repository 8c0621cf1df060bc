// Resolves the relay's keys: its node key, which the first start may create, and the mesh keys, which it never
// creates. Each has one source; a key that is set by two sources is a problem.

import { randomBytes } from 'node:crypto'
import { dirname } from 'node:path'
import { formatKeyFile, parseKeyFile, parseMeshKeys } from '#protocol/key-file.ts'
import { keyPairFrom, type KeyPair } from '#protocol/node-key.ts'
import { exists, isFolder, readFileText, whyUnread } from './file-text.ts'
import type { Diagnostics } from './diagnostics.ts'
import type { HostInfo } from './host-info.ts'
import type { OptionValues } from './option-values.ts'
import { DEV_MESH_KEY_ENV, type ServeOptions } from './options.ts'
import { warnIfShared } from './secret-mode.ts'

export interface MeshKeys {
  readonly keys: readonly Uint8Array[]
  /** Their file, which is read again when it changes; undefined if they have another source. */
  readonly path?: string
}

const NO_MESH_KEYS: MeshKeys = { keys: [] }

const KEY_EXPECTED = 'a derper.key file, which is created if it does not exist'

export function resolveNodeKey(
  values: OptionValues<ServeOptions>,
  host: HostInfo,
  diagnostics: Diagnostics,
): KeyPair | undefined {
  if (values.get('dev')) return newKeyPair()
  const key = values.get('key')
  const isFileNamed = values.get('key-file') !== undefined && values.source('key-file') !== 'preset'
  if (key !== undefined && isFileNamed) {
    const files = values.where('key-file')
    return diagnostics.addProblem(values.where('key'), `conflicts with ${files}`, 'only one of the two')
  }
  if (key !== undefined) return parsedKey(key, values.where('key'), 'its value', diagnostics)
  const path = values.get('key-file') ?? (host.isRoot ? host.rootKeyPath : undefined)
  const where = values.where('key-file')
  if (path === undefined) return diagnostics.addProblem(where, 'is not set', KEY_EXPECTED)
  const file = readFileText(path)
  if ('text' in file) {
    warnIfShared(path, file.mode, diagnostics)
    return parsedKey(file.text, where, path, diagnostics)
  }
  if ('reason' in file) return diagnostics.addProblem(where, `${path} ${file.reason}`, KEY_EXPECTED)
  // Only the default folders are created. In a path that the operator wrote, a missing folder is a typing error.
  const isOwnFolder = values.source('key-file') === undefined || values.source('key-file') === 'preset'
  if (!isOwnFolder && !isFolder(dirname(path))) {
    return diagnostics.addProblem(where, `${path} cannot be created: its folder does not exist`, KEY_EXPECTED)
  }
  const pair = newKeyPair()
  const folder = isOwnFolder ? 'is created' : 'must exist'
  diagnostics.addNewFile({ path, text: formatKeyFile(pair), mode: 0o600, folder, existing: 'is kept' })
  return pair
}

export function newKeyPair(): KeyPair {
  return keyPairFrom(randomBytes(32))
}

/** The mesh keys; none without a mesh. This relay proves the first one to its siblings. */
export function resolveMeshKeys(
  values: OptionValues<ServeOptions>,
  host: HostInfo,
  diagnostics: Diagnostics,
): MeshKeys {
  const where = values.where('mesh-psk')
  const given = values.get('mesh-psk')
  const isDev = values.get('dev')
  const isIgnored = where === DEV_MESH_KEY_ENV && !isDev
  const path = values.get('mesh-psk-file')
  if (given !== undefined && isIgnored) diagnostics.addWarning(`${where}: is read only with -dev`)
  if (given !== undefined && !isIgnored) {
    if (path === undefined || isDev) return { keys: parsedMeshKeys(given, where, 'its value', diagnostics) }
    diagnostics.addProblem(where, `conflicts with ${values.where('mesh-psk-file')}`, 'only one of the two')
    return NO_MESH_KEYS
  }
  if (isDev) return NO_MESH_KEYS
  // derper's default paths count unless the option is set, even to an empty value.
  const isUnset = values.source('mesh-psk-file') === undefined
  const found = path ?? (isUnset ? host.meshKeyPaths.find(exists) : undefined)
  if (found === undefined) return NO_MESH_KEYS
  const file = readFileText(found)
  if ('text' in file) {
    warnIfShared(found, file.mode, diagnostics)
    return { keys: parsedMeshKeys(file.text, values.where('mesh-psk-file'), found, diagnostics), path: found }
  }
  diagnostics.addProblem(
    values.where('mesh-psk-file'),
    `${found} ${whyUnread(file)}`,
    'a file with 64 hex digits',
  )
  return NO_MESH_KEYS
}

function parsedKey(text: string, where: string, what: string, diagnostics: Diagnostics): KeyPair | undefined {
  const parsed = parseKeyFile(text)
  if ('value' in parsed) return parsed.value
  return diagnostics.addProblem(where, `${what} ${parsed.problem}`)
}

function parsedMeshKeys(
  text: string,
  where: string,
  what: string,
  diagnostics: Diagnostics,
): readonly Uint8Array[] {
  const parsed = parseMeshKeys(text)
  if ('value' in parsed) return parsed.value
  diagnostics.addProblem(where, `${what} ${parsed.problem}`)
  return []
}
