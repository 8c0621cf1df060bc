// Makes the parts of a relay that deal with the other relays of its fleet: siblings and map, key directory, states,
// measurements. Construction only. Runs on the control thread.

import type { Settings } from '#config/settings.ts'
import { DirectoryWatch } from '#ops/directory-watch.ts'
import type { LinkWatch } from '#ops/link-watch.ts'
import type { Log } from '#ops/log.ts'
import type { Reloads } from '#ops/reloads.ts'
import { FleetService, type FleetServiceParts } from './fleet-service.ts'
import { KeyDirectoryService } from './key-directory-service.ts'
import { LookService } from './look-service.ts'
import { MeshService } from './mesh-service.ts'
import { QualityService } from './quality-service.ts'
import { RegionsService } from './regions-service.ts'
import type { RelayThreads } from './relay-threads.ts'
import { siblingAuthorities } from './sibling-authorities.ts'

export interface FleetPartsInput extends Pick<
  FleetServiceParts,
  'run' | 'drain' | 'certificates' | 'readiness'
> {
  readonly log: Log
  readonly threads: RelayThreads
  readonly links: LinkWatch
  readonly reloads: Reloads
  readonly stateFolder: string | undefined
}

export interface FleetParts {
  /** Undefined without a mesh key. */
  readonly mesh: MeshService | undefined
  /** Undefined without NATS. */
  readonly keyDirectory: KeyDirectoryService | undefined
  readonly directory: DirectoryWatch
  readonly quality: QualityService
  readonly fleet: FleetService
  /** Undefined without a regions file. */
  readonly regions: RegionsService | undefined
  readonly looks: LookService
}

export function makeFleetParts(settings: Settings, input: FleetPartsInput): FleetParts {
  const { log, threads, links } = input
  const mesh = makeMesh(settings, { ...input, fleet: () => fleet, keyDirectory: () => keyDirectory })
  const keyDirectory = mesh && makeKeyDirectory(settings, { log, threads, mesh, fleet: () => fleet })
  const quality = new QualityService({ settings, log, threads, links, mesh })
  const fleet = new FleetService({
    ...input,
    settings,
    mesh,
    directory: keyDirectory,
    instance: threads.instance,
    measured: quality,
  })
  const authorities = (): readonly string[] => siblingAuthorities(settings.mesh.ca)
  const looks = new LookService({ fleet, mesh, authorities })
  const directory = new DirectoryWatch(() => keyDirectory?.health)
  const regions = mesh && makeRegions({ mesh, quality, fleet })
  return { mesh, keyDirectory, directory, quality, fleet, looks, regions }
}

function makeRegions({
  mesh,
  quality,
  fleet,
}: Required<Pick<FleetParts, 'quality' | 'fleet'>> & { readonly mesh: MeshService }):
  | RegionsService
  | undefined {
  if (mesh.map === undefined) return undefined
  return new RegionsService({
    regions: () => mesh.fileRegions,
    fleet: () => fleet.fleet,
    countryOf: async (ip) => await quality.countryOf(ip),
    now: () => performance.now(),
  })
}

interface MeshInput extends FleetPartsInput {
  readonly fleet: () => FleetService
  readonly keyDirectory: () => KeyDirectoryService | undefined
}

/** Undefined without a mesh key. */
function makeMesh(settings: Settings, input: MeshInput): MeshService | undefined {
  if (settings.meshKeys.length === 0) return undefined
  const { log, threads, links, reloads, run, stateFolder } = input
  return new MeshService({
    settings,
    log,
    reloads,
    broadcast: (message) => threads.broadcast(message),
    onSiblings: (edition) => links.expect(edition),
    onRenamed: () => input.keyDirectory()?.renamed(),
    fleet: () => input.fleet().fleet,
    run,
    stateFolder,
  })
}

interface DirectoryInput extends Pick<FleetPartsInput, 'log' | 'threads'> {
  readonly mesh: MeshService
  readonly fleet: () => FleetService
}

function makeKeyDirectory(
  { hostname, nodeKey, mesh: { nats, regionsPath } }: Settings,
  { log, threads, mesh, fleet }: DirectoryInput,
): KeyDirectoryService | undefined {
  if (nats === undefined) return undefined
  return new KeyDirectoryService({
    settings: nats,
    log,
    hostname,
    regionsPath,
    name: () => mesh.name,
    credentials: () => mesh.natsCredentials,
    send: (thread, update) => threads.send(thread, { kind: 'keyLocation', ...update }),
    broadcast: (update) => threads.broadcast({ kind: 'keyLocation', ...update }),
    key: nodeKey.publicKey,
    onState: (key, state) => fleet().take(key, state, 'directory'),
  })
}
