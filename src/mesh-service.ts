// Who belongs to the mesh, and what proves it, as the relay threads are told: composed of what the operator lists,
// of DNS and of the files that are read again when they change. A file that can't be used changes nothing.

import { isNatsCredentials } from '#config/mesh.ts'
import { readRegionsFile, type FleetRegion } from '#config/regions-file.ts'
import { problemText } from '#config/problem.ts'
import type { NatsSettings, Settings } from '#config/settings.ts'
import { DnsMembers } from '#fleet/dns-members.ts'
import { standingIn, type Member, type Standing } from '#fleet/members.ts'
import { WatchedFile, type FileLook } from '#fleet/watched-file.ts'
import { DirectoryDesk } from '#mesh/directory-desk.ts'
import { NatsDirectory } from '#mesh/nats-directory.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { bytesEqual } from '#protocol/bytes.ts'
import { parseMeshKeys } from '#protocol/key-file.ts'
import type { FromRelayThread, ToRelayThread } from './thread-messages.ts'

export interface MeshServiceParts {
  readonly settings: Settings
  readonly log: Log
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
  readonly #desk: DirectoryDesk | undefined
  #regions: readonly FleetRegion[]
  #meshKeys: readonly Uint8Array[]
  #credentials: string
  /** How often threads have been told of members. */
  #edition = 0

  constructor(parts: MeshServiceParts) {
    this.#parts = parts
    const { mesh, meshKeys, meshKeyPath } = parts.settings
    this.#regions = mesh.regions
    this.#meshKeys = meshKeys
    const { credentials } = mesh.nats ?? {}
    this.#credentials = credentials?.text ?? ''
    this.#dns = new DnsMembers({
      names: mesh.dnsNames,
      onChange: () => this.#tellMembers(),
      onProblem: (name, error) => parts.log.warn(LogEvent.meshNameFailed, { name, reason: error.message }),
    })
    if (mesh.nats !== undefined) {
      this.#directory = this.#openDirectory(mesh.nats)
      const { tell, tellThread } = parts
      this.#desk = new DirectoryDesk({
        directory: this.#directory,
        tell: (thread, located) => tellThread(thread, { kind: 'located', ...located }),
        tellAll: (located) => tell({ kind: 'located', ...located }),
      })
    }
    this.#files = [
      this.#watched(mesh.regionsPath, LogEvent.regionsRefused, (path, text) => this.#onRegions(path, text)),
      this.#watched(meshKeyPath, LogEvent.meshKeysRefused, (path, text) => this.#onMeshKeys(path, text)),
      this.#watched(credentials?.path, LogEvent.credentialsRefused, (path, text) =>
        this.#onCredentials(path, text),
      ),
    ].flat()
  }

  /** What relay threads say to the key directory. */
  hear(message: FromRelayThread, thread: number): void {
    if (message.kind === 'homes') this.#desk?.note(thread, message.notes)
    if (message.kind === 'locate') this.#desk?.locate(thread, message.key)
  }

  threadEnded(thread: number): void {
    this.#desk?.threadEnded(thread)
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
    this.#desk?.close()
    await this.#directory?.close()
  }

  #openDirectory(settings: NatsSettings): NatsDirectory {
    const { log, settings: own } = this.#parts
    const { name } = this.#standing
    if (name === undefined) {
      const where = `${own.hostname} in ${own.mesh.regionsPath}`
      throw new Error(
        `-node: is not set; expected which relay this is, since ${where} stands for none or several`,
      )
    }
    return new NatsDirectory({
      settings,
      credentials: settings.credentials === undefined ? undefined : () => Buffer.from(this.#credentials),
      name,
      onConnected: (isConnected, detail) => {
        if (isConnected) log.info(LogEvent.directoryReached, { server: detail })
        else log.warn(LogEvent.directoryLost, { reason: detail })
      },
    })
  }

  #watched(
    path: string | undefined,
    refused: LogEvent,
    onText: (path: string, text: string) => void,
  ): readonly WatchedFile[] {
    if (path === undefined) return []
    const onProblem = ({ message }: Error): void => this.#parts.log.warn(refused, { path, reason: message })
    return [new WatchedFile(path, { onText: (text) => onText(path, text), onProblem })]
  }

  #onRegions(path: string, text: string): void {
    const { log } = this.#parts
    const read = readRegionsFile(path, text)
    if ('problems' in read) {
      log.warn(LogEvent.regionsRefused, { path, problems: read.problems.map(problemText) })
    } else if (JSON.stringify(read.regions) !== JSON.stringify(this.#regions)) {
      this.#regions = read.regions
      log.info(LogEvent.regionsChanged, { path, regions: read.regions.length })
      this.#tellMembers()
    }
  }

  #onMeshKeys(path: string, text: string): void {
    const { log, tell } = this.#parts
    const parsed = parseMeshKeys(text)
    if ('problem' in parsed) {
      log.warn(LogEvent.meshKeysRefused, { path, reason: parsed.problem })
    } else if (!areSame(parsed.value, this.#meshKeys)) {
      this.#meshKeys = parsed.value
      log.info(LogEvent.meshKeysChanged, { path, keys: parsed.value.length })
      tell({ kind: 'meshKeys', keys: parsed.value })
    }
  }

  /** The next connection to a NATS server is made with them. */
  #onCredentials(path: string, text: string): void {
    if (isNatsCredentials(text)) {
      this.#credentials = text
    } else {
      const reason = "it has no user's JWT and seed"
      this.#parts.log.warn(LogEvent.credentialsRefused, { path, reason })
    }
  }

  #tellMembers(): void {
    const { settings, tell, onMembers } = this.#parts
    const listed: readonly Member[] = [...settings.mesh.siblings, ...this.#dns.members]
    // Who is in the fleet's file is what it says there, however else it is named.
    const all = [...listed, ...this.#standing.members]
    const siblings = [...new Map(all.map((member) => [member.name, member])).values()]
    const edition = ++this.#edition
    tell({ kind: 'siblings', edition, siblings })
    if (this.#dns.areAllAnswered) onMembers(edition)
  }

  get #standing(): Standing {
    const { hostname, mesh } = this.#parts.settings
    const { nats, node, region } = mesh
    return standingIn(this.#regions, { hostname, node, region, hasDirectory: nats !== undefined })
  }
}

function areSame(some: readonly Uint8Array[], others: readonly Uint8Array[]): boolean {
  return (
    some.length === others.length && some.every((key, i) => bytesEqual(key, others[i] ?? new Uint8Array(0)))
  )
}
