// The verb `checkup`: what this relay knows of itself and of its host, for `derpfleet doctor`. Reads files and asks the
// admission back ends about its own key; changes nothing and judges nothing. Runs on the control thread.

import { readChangingFile } from '#config/file-text.ts'
import type { Settings } from '#config/settings.ts'
import { problemText } from '#fleet/problem.ts'
import type { AdmissionFacts, RegionsFacts, RelayFacts, SiblingFacts } from '#fleet/relay-facts.ts'
import type { Region } from '#fleet/region.ts'
import { positionProblem } from '#fleet/position-check.ts'
import { readRegionsFile, REGIONS_FILE_BYTES_MAX } from '#fleet/regions-file.ts'
import type { CertificateStatus } from '#ops/certificate-families.ts'
import { fleetBody, type FleetContent } from '#ops/fleet-page.ts'
import type { LinkWatch } from '#ops/link-watch.ts'
import type { Verb } from '#ops/verb.ts'
import { packageVersion } from '#ops/version.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import type { RelayAdmission } from './admission.ts'
import { freeBytesAt, hostFacts } from './host-facts.ts'
import { ownRegion } from './own-entry.ts'
import { ownRelayOf } from './own-relay.ts'
import type { Readiness } from './readiness.ts'
import type { RelayAddresses } from './relay-addresses.ts'

/** Half of what a client waits for its login. */
const ADMISSION_MS = 5_000
/** Relay threads have numbers from 0 on. */
const OWN_THREAD = -1
let questionCount = 0

export interface CheckupParts {
  readonly settings: Settings
  readonly addresses: () => RelayAddresses
  readonly readiness: Pick<Readiness, 'health'>
  readonly links: Pick<LinkWatch, 'siblings'>
  readonly admission: Pick<RelayAdmission, 'isOff' | 'ask' | 'cancel'>
  readonly fleet: { readonly fleet: FleetContent }
  /** Undefined without a mesh key. */
  readonly mesh: { readonly fileRegions: readonly Region[] } | undefined
  /** Undefined without TLS. */
  readonly certificates: { readonly status: CertificateStatus } | undefined
  /** Undefined if the relay serves without it. */
  readonly stateFolder: string | undefined
}

export function checkupVerb(parts: CheckupParts): Verb {
  return {
    name: 'checkup',
    changes: false,
    parameters: {},
    answer: async () => ({ isDone: true, body: { ...(await factsOf(parts)) } }),
  }
}

async function factsOf(parts: CheckupParts): Promise<RelayFacts> {
  const { settings, readiness, certificates } = parts
  const [admission, regions] = await Promise.all([admissionFacts(parts), regionsFacts(parts)])
  return {
    version: packageVersion(),
    hostname: settings.hostname,
    key: publicKeyText(settings.nodeKey.publicKey),
    pid: process.pid,
    nowMs: Date.now(),
    isTls: settings.isTls,
    isDerpEnabled: settings.isDerpEnabled,
    listeners: parts.addresses(),
    checks: readiness.health.report().checks,
    siblings: parts.links.siblings().map(siblingFacts),
    fleet: fleetBody(parts.fleet.fleet) as unknown as RelayFacts['fleet'],
    host: hostFacts(),
    stateFolder: stateFolderFacts(parts),
    warnings: settings.warnings,
    regions,
    entry: entryOf(parts),
    admission,
    certificate: certificates && { failure: certificates.status.lastFailure },
  }
}

/** Nobody pastes a relay without TLS into a map: a proxy is in front of it. */
function entryOf({ settings, addresses }: CheckupParts): Region | undefined {
  const { derp, stun } = addresses()
  return settings.isTls && settings.mesh.regionsPath === undefined
    ? ownRegion(settings, { derp, stun })
    : undefined
}

function siblingFacts({
  name,
  isUp,
  why,
}: {
  readonly name: string
  readonly isUp: boolean
  readonly why: string
}): SiblingFacts {
  const cause = /has the key of/.test(why) ? 'nodeKey' : /mesh key/.test(why) ? 'meshKey' : undefined
  return { name, isUp, why, cause: isUp ? undefined : cause }
}

function stateFolderFacts({ settings, stateFolder: path }: CheckupParts): RelayFacts['stateFolder'] {
  if (settings.stateFolder === undefined) return {}
  if (path === undefined) return { path: settings.stateFolder, problem: 'could not be used at the start' }
  return { path, freeBytes: freeBytesAt(path) }
}

/** The file as it is now, whether or not the relay has taken it into use. */
async function regionsFacts({ settings, mesh, fleet }: CheckupParts): Promise<RegionsFacts | undefined> {
  const path = settings.mesh.regionsPath
  if (path === undefined || mesh === undefined) return undefined
  const { fileRegions: inUse } = mesh
  const ownNodes = fleet.fleet.relays.find(({ isOwn }) => isOwn)?.nodes ?? []
  const facts = { path, inUse, ownNodes }
  const file = await readChangingFile(path, REGIONS_FILE_BYTES_MAX)
  if (!('text' in file)) {
    const problem = 'reason' in file ? file.reason : 'does not exist'
    return { ...facts, problems: [`${path} ${problem}`], isInUse: false }
  }
  const read = readRegionsFile(path, file.text)
  if ('problems' in read) return { ...facts, problems: read.problems.map(problemText), isInUse: false }
  const position = positionProblem(path, read.regions, ownRelayOf(settings))
  const problems = position === undefined ? [] : [`${position.found}; expected ${position.expected}`]
  return { ...facts, problems, isInUse: JSON.stringify(read.regions) === JSON.stringify(inUse) }
}

/** Asks about this relay's own key, as the relay itself does in an outage: whether anybody decides is what matters. */
async function admissionFacts({ admission, settings }: CheckupParts): Promise<AdmissionFacts> {
  if (admission.isOff) return { isOpen: true }
  const key = settings.nodeKey.publicKey
  const id = questionCount++
  return await new Promise((resolved) => {
    // The queue drops a question without an answer in time; the verb answers all the same.
    const late = setTimeout(() => {
      admission.cancel(OWN_THREAD, id)
      resolved({ isOpen: false, result: 'unreachable', reason: `no answer within ${ADMISSION_MS} ms` })
    }, ADMISSION_MS + 500)
    const question = { id, key, source: '', withinMs: ADMISSION_MS, isHere: false }
    admission.ask(OWN_THREAD, question, ({ result, reason }) => {
      clearTimeout(late)
      resolved({ isOpen: false, result, reason })
    })
  })
}
