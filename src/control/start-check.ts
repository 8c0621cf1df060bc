// The reasons for which a relay with given settings can't start, as far as they are known before anything listens: builds
// from the settings what the start builds, and discards it. Ports in use and siblings out of reach are left to the start
// itself. Runs on the control thread, for `serve` and for `serve -check`.

import { createSecureContext } from 'node:tls'
import { readCertificateFiles } from '#config/certificate-files.ts'
import type { Problem } from '#fleet/problem.ts'
import type { Settings } from '#config/settings.ts'
import { fleetPosition } from '#fleet/fleet-position.ts'
import { tlsIdentity } from '#transport/tls-identity.ts'
import { namelessProblem, ownRelayOf } from './own-relay.ts'
import { siblingAuthorities } from './sibling-authorities.ts'

/**
 * @param settings whose files exist, except those at `newPaths`
 * @param newPaths of files that the start creates
 * @param inUse settings whose authorities are in use, and need no check: it takes a twentieth of a second
 */
export function startProblems(
  settings: Settings,
  newPaths: ReadonlySet<string>,
  inUse?: Settings,
): readonly Problem[] {
  return [
    ...tlsProblems(settings, newPaths),
    ...(inUse !== undefined && haveSameAuthorities(inUse, settings) ? [] : authorityProblems(settings)),
    ...directoryProblems(settings),
  ]
}

function tlsProblems(settings: Settings, newPaths: ReadonlySet<string>): Problem[] {
  const { certificate: files, tlsMaxVersion: maxVersion } = settings
  if (files === undefined || newPaths.has(files.certificatePath)) return []
  return buildProblems(files.certificatePath, 'is refused by TLS', () => {
    const read = readCertificateFiles(files)
    if (!('pem' in read))
      throw new Error(read.unread.map(({ path, reason }) => `${path} ${reason}`).join('; '))
    createSecureContext(tlsIdentity({ pem: read.pem, meta: undefined, maxVersion, protocols: [] }))
  })
}

function haveSameAuthorities({ mesh: one }: Settings, { mesh: other }: Settings): boolean {
  return one.ca === other.ca && one.nats?.ca === other.nats?.ca
}

function authorityProblems({ mesh }: Settings): Problem[] {
  return [
    ...buildProblems('-mesh-ca-file', 'is refused by TLS', () =>
      createSecureContext({ ca: [...siblingAuthorities(mesh.ca)] }),
    ),
    ...buildProblems('-nats-ca-file', 'is refused by TLS', () => createSecureContext({ ca: mesh.nats?.ca })),
  ]
}

function directoryProblems(settings: Settings): Problem[] {
  const { nats, regions, regionsPath } = settings.mesh
  if (nats === undefined) return []
  if (fleetPosition(regions, ownRelayOf(settings)).name !== undefined) return []
  return [namelessProblem(settings.hostname, regionsPath)]
}

/** The problem that `build` throws; none if it succeeds. */
function buildProblems(where: string, found: string, build: () => unknown): Problem[] {
  try {
    build()
    return []
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return [{ where, found: `${found}: ${reason}`, expected: '' }]
  }
}
