// Who belongs to the mesh, and what proves it, as the relay threads are told: composed of what the operator lists,
// of DNS and of the files that are read again when they change. A file that can't be used changes nothing.

import { isNatsCredentials } from '#config/mesh-settings.ts'
import { placeProblem } from '#fleet/position-check.ts'
import { readRegionsFile, REGIONS_FILE_BYTES_MAX, type FleetRegion } from '#fleet/regions-file.ts'
import { problemText, reasonOf } from '#fleet/problem.ts'
import type { NatsSettings, Settings } from '#config/settings.ts'
import { DnsMembers } from '#fleet/dns-siblings.ts'
import { standingIn, type Member, type Standing } from '#fleet/fleet-position.ts'
import { WatchedFile, type FileLook } from './watched-file.ts'
import { DirectoryClient } from '#mesh/directory-client.ts'
import { NatsDirectory, type DirectoryHealth } from '#mesh/nats-directory.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { Reloads } from '#ops/reloads.ts'
import { bytesEqual } from '#protocol/bytes.ts'
import { parseMeshKeys } from '#protocol/key-file.ts'
import type { FromRelayThread, ToRelayThread } from '#worker/thread-messages.ts'

/** Keys and credentials are a few lines. */
const SECRET_BYTES_MAX = 65_536
/** Names of what has come or gone that a line of the log has room for. */
const NAMED_MAX = 20

export interface MeshServiceParts {
  readonly settings: Settings
  readonly log: Log
  readonly reloads: Reloads
  /** To all relay threads. */
  readonly tell: (message: ToRelayThread) => void
  readonly tellThread: (thread: number, message: ToRelayThread) => void
  /** The threads have been told of all members, as far as all names have been answered once. */
  readonly onMembers: (edition: number) => void
}

export class MeshService {
  readonly #parts: MeshServiceParts
  readonly #dns: DnsMembers
  readonly #files: readonly WatchedFile[]
  readonly #directory: NatsDirectory | undefined
  /** What this relay is called in the directory. */
  #name: string | undefined
  /** Names of members, as threads were told of them last. */
  #members: ReadonlySet<string> | undefined = undefined
  readonly #directoryClient: DirectoryClient | undefined
  #regions: readonly FleetRegion[]
  #meshKeys: readonly Uint8Array[]
  #credentials: string
  /** How often threads have been told of members. */
  #edition = 0

  constructor(parts: MeshServiceParts) {
    this.#parts = parts
    const { mesh, meshKeys, meshKeyPath } = parts.settings
    this.#regions = mesh.regions
    this.#name = this.#standing(mesh.regions).name
    this.#meshKeys = meshKeys
    const { credentials } = mesh.nats ?? {}
    this.#credentials = credentials?.text ?? ''
    this.#dns = new DnsMembers({
      names: mesh.dnsNames,
      onChange: () => this.#onNames(),
      onProblem: (name, error) => parts.log.warn(LogEvent.meshDnsFailed, { name, reason: error.message }),
    })
    if (mesh.nats !== undefined) {
      this.#directory = this.#openDirectory(mesh.nats)
      const { tell, tellThread } = parts
      this.#directoryClient = new DirectoryClient({
        directory: this.#directory,
        send: (thread, update) => tellThread(thread, { kind: 'keyLocation', ...update }),
        broadcast: (update) => tell({ kind: 'keyLocation', ...update }),
      })
    }
    this.#files = [
      this.#watched('regions-file', mesh.regionsPath, (path, text) => this.#onRegions(path, text)),
      this.#watched('mesh-psk-file', meshKeyPath, (path, text) => this.#onMeshKeys(path, text)),
      this.#watched('nats-credentials-file', credentials?.path, (path, text) =>
        this.#onCredentials(path, text),
      ),
    ].flat()
  }

  /** Undefined where there is no key directory. */
  get directoryHealth(): DirectoryHealth | undefined {
    return this.#directory?.health
  }

  /** Where this relay stands in the fleet, by the file as it is now. */
  get place(): { readonly regions: readonly number[]; readonly nodes: readonly string[] } {
    const { regions, nodes } = this.#standing(this.#regions)
    return { regions: [...regions], nodes }
  }

  /** What relay threads say to the key directory. */
  hear(message: FromRelayThread, thread: number): void {
    if (message.kind === 'homeNotes') this.#directoryClient?.homesChanged(thread, message.notes)
    if (message.kind === 'lookUpKey') this.#directoryClient?.locate(thread, message.key)
  }

  threadEnded(thread: number): void {
    this.#directoryClient?.threadEnded(thread)
  }

  start(): void {
    this.#tellMembers()
    this.#dns.start()
    for (const file of this.#files) file.start()
  }

  /** Reads all files now; what came of each. What is in a new one is taken, or refused with a line in the log. */
  async reload(): Promise<readonly { readonly path: string; readonly result: FileLook }[]> {
    return await Promise.all(
      this.#files.map(async (file) => ({ path: file.path, result: await file.look() })),
    )
  }

  async stop(): Promise<void> {
    this.#dns.stop()
    for (const file of this.#files) file.stop()
    this.#directoryClient?.close()
    await this.#directory?.close()
  }

  #openDirectory(settings: NatsSettings): NatsDirectory {
    const { log, settings: own } = this.#parts
    if (this.#name === undefined) {
      const where = `${own.hostname} in ${own.mesh.regionsPath}`
      throw new Error(
        `-node: is not set; expected which relay this is, since ${where} stands for none or several`,
      )
    }
    return new NatsDirectory({
      settings,
      credentials: settings.credentials === undefined ? undefined : () => Buffer.from(this.#credentials),
      name: () => this.#name ?? own.hostname,
      onConnected: (isConnected, detail) => {
        if (isConnected) log.info(LogEvent.keyDirectoryConnected, { server: detail })
        else log.warn(LogEvent.keyDirectoryDisconnected, { reason: detail })
      },
    })
  }

  /** `take` answers with complaints about what is in the file; none: it is used from now on. */
  #watched(
    file: keyof typeof WATCHED,
    path: string | undefined,
    take: (path: string, text: string) => readonly string[],
  ): readonly WatchedFile[] {
    if (path === undefined) return []
    const { log, reloads } = this.#parts
    const { refused, bytesMax } = WATCHED[file]
    reloads.taken(file, path)
    const refuse = (problems: readonly string[]): void => {
      log.warn(refused, { path, problems: problems.slice(0, NAMED_MAX) })
      reloads.refused(file)
    }
    const onText = (text: string): void => {
      const problems = take(path, text)
      if (problems.length > 0) refuse(problems)
      else reloads.taken(file, path)
    }
    return [new WatchedFile(path, bytesMax, { onText, onProblem: (error) => refuse([reasonOf(error)]) })]
  }

  #onRegions(path: string, text: string): readonly string[] {
    const { log, settings } = this.#parts
    const read = readRegionsFile(path, text)
    if ('problems' in read) return read.problems.map(problemText)
    if (JSON.stringify(read.regions) === JSON.stringify(this.#regions)) return []
    const { hostname, mesh } = settings
    const { node, region, nats } = mesh
    const problem = placeProblem(path, read.regions, {
      hostname,
      node,
      region,
      hasDirectory: nats !== undefined,
    })
    if (problem !== undefined) return [`${problem.found}; expected ${problem.expected}`]
    const [before, after] = [this.#regions, read.regions].map(nodesByName) as [Nodes, Nodes]
    const changed = [...after].filter(([name, node]) => before.has(name) && before.get(name) !== node)
    this.#regions = read.regions
    log.info(LogEvent.regionsChanged, {
      path,
      regions: read.regions.length,
      added: named([...after.keys()].filter((name) => !before.has(name))),
      removed: named([...before.keys()].filter((name) => !after.has(name))),
      changed: named(changed.map(([name]) => name)),
    })
    this.#rename(this.#standing(read.regions).name)
    this.#tellMembers()
    return []
  }

  /** The others' members call this relay otherwise. */
  #rename(name: string | undefined): void {
    if (name === this.#name) return
    this.#name = name
    this.#directory?.renamed()
  }

  #onMeshKeys(path: string, text: string): readonly string[] {
    const { log, tell } = this.#parts
    const parsed = parseMeshKeys(text)
    if ('problem' in parsed) return [parsed.problem]
    if (areSame(parsed.value, this.#meshKeys)) return []
    this.#meshKeys = parsed.value
    log.info(LogEvent.meshKeysChanged, { path, keys: parsed.value.length })
    tell({ kind: 'meshKeys', keys: parsed.value })
    return []
  }

  /** The next connection to a NATS server is made with them. */
  #onCredentials(_path: string, text: string): readonly string[] {
    if (!isNatsCredentials(text)) return ["it has no user's JWT and seed"]
    this.#credentials = text
    return []
  }

  #onNames(): void {
    const before = this.#members ?? new Set()
    const edition = this.#tellMembers()
    const after = this.#members ?? new Set()
    const added = [...after].filter((name) => !before.has(name))
    const removed = [...before].filter((name) => !after.has(name))
    if (added.length + removed.length === 0) return
    this.#parts.log.info(LogEvent.siblingsChanged, { edition, added: named(added), removed: named(removed) })
  }

  #tellMembers(): number {
    const { settings, tell, onMembers } = this.#parts
    const listed: readonly Member[] = [...settings.mesh.siblings, ...this.#dns.members]
    // Who is in the fleet's file is what it says there, however else it is named.
    const all = [...listed, ...this.#standing(this.#regions).members]
    const siblings = [...new Map(all.map((member) => [member.name, member])).values()]
    const edition = ++this.#edition
    tell({ kind: 'siblings', edition, siblings })
    this.#members = new Set(siblings.map(({ name }) => name))
    if (this.#dns.areAllAnswered) onMembers(edition)
    return edition
  }

  #standing(regions: readonly FleetRegion[]): Standing {
    const { hostname, mesh } = this.#parts.settings
    const { nats, node, region } = mesh
    return standingIn(regions, { hostname, node, region, hasDirectory: nats !== undefined })
  }
}

/** Files that are read again, by the options that name them. */
const WATCHED = {
  'regions-file': { refused: LogEvent.regionsRejected, bytesMax: REGIONS_FILE_BYTES_MAX },
  'mesh-psk-file': { refused: LogEvent.meshKeysRejected, bytesMax: SECRET_BYTES_MAX },
  'nats-credentials-file': { refused: LogEvent.credentialsRejected, bytesMax: SECRET_BYTES_MAX },
} as const

/** What is said of each relay, by its name. */
type Nodes = ReadonlyMap<string, string>

function nodesByName(regions: readonly FleetRegion[]): Nodes {
  return new Map(
    regions.flatMap(({ id, nodes }) => nodes.map((node) => [node.name, JSON.stringify([id, node])] as const)),
  )
}

function named(names: readonly string[]): readonly string[] {
  if (names.length <= NAMED_MAX) return names
  return [...names.slice(0, NAMED_MAX), `and ${names.length - NAMED_MAX} more`]
}

function areSame(some: readonly Uint8Array[], others: readonly Uint8Array[]): boolean {
  return (
    some.length === others.length && some.every((key, i) => bytesEqual(key, others[i] ?? new Uint8Array(0)))
  )
}
