// The files that configure the mesh and are read again while the relay serves: regions, mesh keys and NATS credentials.
// Holds the content in use. A file with invalid content changes nothing; the log and the reload metrics tell of it. Runs
// on the control thread.

import { isNatsCredentials } from '#config/nats-settings.ts'
import type { Settings } from '#config/settings.ts'
import { fleetPosition, type FleetPosition } from '#fleet/fleet-position.ts'
import { positionProblem } from '#fleet/position-check.ts'
import type { Node } from '#fleet/node.ts'
import { problemText } from '#fleet/problem.ts'
import type { Region } from '#fleet/region.ts'
import { siblingName } from '#fleet/sibling.ts'
import { readRegionsFile, REGIONS_FILE_BYTES_MAX } from '#fleet/regions-file.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { Reloads } from '#ops/reloads.ts'
import { bytesEqual } from '#protocol/bytes.ts'
import { parseMeshKeys } from '#protocol/key-file.ts'
import { ContentFile, PROBLEMS_MAX, type ContentFileParts, type FileReload } from './content-file.ts'
import { ownRelayOf } from './own-relay.ts'
import { shortList } from './short-list.ts'

/** Keys and credentials are a few lines. */
const SECRET_BYTES_MAX = 65_536
/** The files by the options that name them. */
const FILES = {
  'regions-file': { refused: LogEvent.regionsRejected, bytesMax: REGIONS_FILE_BYTES_MAX },
  'mesh-psk-file': { refused: LogEvent.meshKeysRejected, bytesMax: SECRET_BYTES_MAX },
  'nats-credentials-file': { refused: LogEvent.credentialsRejected, bytesMax: SECRET_BYTES_MAX },
} as const

export interface MeshFilesParts {
  readonly settings: Settings
  readonly log: Log
  readonly reloads: Reloads
  /** Other regions are in use. */
  readonly onRegions: () => void
  /** Other mesh keys are in use. */
  readonly onMeshKeys: (keys: readonly Uint8Array[]) => void
}

export class MeshFiles {
  readonly #parts: MeshFilesParts
  readonly #files: readonly ContentFile[]
  #regions: readonly Region[]
  #meshKeys: readonly Uint8Array[]
  #credentials: string

  constructor(parts: MeshFilesParts) {
    this.#parts = parts
    const { mesh, meshKeys, meshKeyPath } = parts.settings
    const { credentials } = mesh.nats ?? {}
    this.#regions = mesh.regions
    this.#meshKeys = meshKeys
    this.#credentials = credentials?.text ?? ''
    this.#files = [
      this.#watched('regions-file', mesh.regionsPath, (path, text) => this.#useRegions(path, text)),
      this.#watched('mesh-psk-file', meshKeyPath, (path, text) => this.#useMeshKeys(path, text)),
      this.#watched('nats-credentials-file', credentials?.path, (_, text) => this.#useCredentials(text)),
    ].flat()
  }

  /** This relay's place in the fleet, by the regions in use. */
  get position(): FleetPosition {
    return fleetPosition(this.#regions, ownRelayOf(this.#parts.settings))
  }

  /** The content of the regions file in use. */
  get regions(): readonly Region[] {
    return this.#regions
  }

  /**
   * The region of a relay by its name among siblings: of a standby the one where it is. Undefined if the regions file does not
   * have it.
   */
  regionOf(name: string): number | undefined {
    const isIts = (node: Node): boolean => siblingName(node) === name
    const all = this.#regions.filter(({ nodes }) => nodes.some(isIts))
    const own = all.find(({ nodes }) => nodes.some((node) => isIts(node) && node.isStandby !== true))
    return (own ?? all[0])?.id
  }

  /** The NATS credentials in use; empty without a credentials file. */
  get credentials(): string {
    return this.#credentials
  }

  start(): void {
    for (const file of this.#files) file.start()
  }

  /** Reads all files now. New content is used, or refused with a line in the log. */
  async reload(): Promise<readonly FileReload[]> {
    return await Promise.all(this.#files.map(async (file) => await file.reload()))
  }

  stop(): void {
    for (const file of this.#files) file.stop()
  }

  #watched(
    option: keyof typeof FILES,
    path: string | undefined,
    use: ContentFileParts['use'],
  ): readonly ContentFile[] {
    if (path === undefined) return []
    return [new ContentFile({ path, option, use, ...FILES[option], ...this.#parts })]
  }

  #useRegions(path: string, text: string): readonly string[] {
    const { log, onRegions, settings } = this.#parts
    const read = readRegionsFile(path, text)
    if ('problems' in read) return read.problems.map(problemText)
    if (JSON.stringify(read.regions) === JSON.stringify(this.#regions)) return []
    const problem = positionProblem(path, read.regions, ownRelayOf(settings))
    if (problem !== undefined) return [`${problem.found}; expected ${problem.expected}`]
    const changes = {
      ...nodeChanges(this.#regions, read.regions),
      changedRegions: changedRegions(this.#regions, read.regions),
    }
    this.#regions = read.regions
    log.info(LogEvent.regionsChanged, { path, regions: read.regions.length, ...changes })
    for (const warning of read.warnings.slice(0, PROBLEMS_MAX))
      log.warn(LogEvent.settingWarning, { message: problemText(warning) })
    onRegions()
    return []
  }

  #useMeshKeys(path: string, text: string): readonly string[] {
    const { log, onMeshKeys } = this.#parts
    const parsed = parseMeshKeys(text)
    if ('problem' in parsed) return [parsed.problem]
    if (areSameKeys(parsed.value, this.#meshKeys)) return []
    this.#meshKeys = parsed.value
    log.info(LogEvent.meshKeysChanged, { path, keys: parsed.value.length })
    onMeshKeys(parsed.value)
    return []
  }

  /** New credentials apply to the next connection to a NATS server. */
  #useCredentials(text: string): readonly string[] {
    if (!isNatsCredentials(text)) return ["it has no user's JWT and seed"]
    this.#credentials = text
    return []
  }
}

/** The names of the nodes that were added, removed and changed, shortened for the log. */
function nodeChanges(
  before: readonly Region[],
  after: readonly Region[],
): Readonly<Record<'added' | 'removed' | 'changed', readonly string[]>> {
  const [old, now] = [nodeTexts(before), nodeTexts(after)]
  const changed = [...now].filter(([name, text]) => old.has(name) && old.get(name) !== text)
  return {
    added: shortList([...now.keys()].filter((name) => !old.has(name))),
    removed: shortList([...old.keys()].filter((name) => !now.has(name))),
    changed: shortList(changed.map(([name]) => name)),
  }
}

/** The numbers of the regions of which something but their nodes is new, such as the state, shortened for the log. */
function changedRegions(before: readonly Region[], after: readonly Region[]): readonly string[] {
  const textOf = ({ nodes: _nodes, ...region }: Region): string => JSON.stringify(region)
  const old = new Map(before.map((region) => [region.id, textOf(region)]))
  const changed = after.filter((region) => old.has(region.id) && old.get(region.id) !== textOf(region))
  return shortList(changed.map(({ id }) => String(id)))
}

/** Each node's region and entry as comparable text, by the node's name. */
function nodeTexts(regions: readonly Region[]): ReadonlyMap<string, string> {
  return new Map(
    regions.flatMap(({ id, nodes }) => nodes.map((node) => [node.name, JSON.stringify([id, node])] as const)),
  )
}

function areSameKeys(some: readonly Uint8Array[], others: readonly Uint8Array[]): boolean {
  return (
    some.length === others.length && some.every((key, i) => bytesEqual(key, others[i] ?? new Uint8Array(0)))
  )
}
