// Resolves the lane's settings: where it listens, its key, which the first start may create, and its roster, without which it does
// not run.

import { dirname } from 'node:path'
import { formatWireguardKey, parseWireguardKey } from '#protocol/key-file.ts'
import { readRoster, type Roster } from '#protocol/lane-roster.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import type { Diagnostics } from './diagnostics.ts'
import { isFolder, readFileText, whyUnread } from './file-text.ts'
import { newKeyPair } from './key-settings.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'
import { warnIfShared } from './secret-mode.ts'
import type { LaneSettings } from './settings.ts'

const KEY_EXPECTED =
  'a file with a private key as `wg genkey` prints it, which is created if it does not exist'
const ROSTER_EXPECTED =
  'a file with lines of KEY NAME [NAME]...: who may use the lane, and whom each may reach'

/** Undefined without a lane, or after a problem. */
export function resolveLane(
  values: OptionValues<ServeOptions>,
  diagnostics: Diagnostics,
): LaneSettings | undefined {
  const endpoint = values.get('lane')
  if (endpoint === undefined) return undefined
  const key = resolveLaneKey(values, diagnostics)
  const rosterPath = values.get('lane-roster')
  const roster = resolveRoster(values, rosterPath, diagnostics)
  if (key === undefined || rosterPath === undefined || roster === undefined) return undefined
  return { endpoint, key, rosterPath, roster }
}

function resolveLaneKey(values: OptionValues<ServeOptions>, diagnostics: Diagnostics): KeyPair | undefined {
  const path = values.get('lane-key-file')
  const where = values.where('lane-key-file')
  if (path === undefined) return diagnostics.addProblem(where, 'is not set', KEY_EXPECTED)
  const file = readFileText(path)
  if ('text' in file) {
    warnIfShared(path, file.mode, diagnostics)
    const parsed = parseWireguardKey(file.text)
    if ('value' in parsed) return parsed.value
    return diagnostics.addProblem(where, `${path} ${parsed.problem}`)
  }
  if ('reason' in file) return diagnostics.addProblem(where, `${path} ${file.reason}`, KEY_EXPECTED)
  if (!isFolder(dirname(path)))
    return diagnostics.addProblem(where, `${path} cannot be created: its folder does not exist`, KEY_EXPECTED)
  const pair = newKeyPair()
  diagnostics.addNewFile({
    path,
    text: formatWireguardKey(pair),
    mode: 0o600,
    folder: 'must exist',
    existing: 'is kept',
  })
  return pair
}

function resolveRoster(
  values: OptionValues<ServeOptions>,
  path: string | undefined,
  diagnostics: Diagnostics,
): Roster | undefined {
  const where = values.where('lane-roster')
  if (path === undefined) return diagnostics.addProblem(where, 'is not set', ROSTER_EXPECTED)
  const file = readFileText(path)
  if (!('text' in file)) return diagnostics.addProblem(where, `${path} ${whyUnread(file)}`, ROSTER_EXPECTED)
  const read = readRoster(path, file.text)
  if ('roster' in read) return read.roster
  for (const problem of read.problems) diagnostics.addProblem(where, problem)
  return undefined
}
