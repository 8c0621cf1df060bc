// What the start of a relay would fail at, short of listening: builds what the start builds from its settings, and lets
// it go again. What only this moment can tell (ports that are taken, siblings that are away) is left to the start.

import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { Problem } from '#fleet/problem.ts'
import type { Settings } from '#config/settings.ts'
import { standingIn } from '#fleet/fleet-position.ts'
import { tlsIdentity } from '#transport/tls-identity.ts'
import { authorities } from './sibling-authorities.ts'

/** @param settings whose files are all there, but for those that the start makes */
export function startProblems(settings: Settings, newPaths: ReadonlySet<string>): readonly Problem[] {
  return [...tlsProblems(settings, newPaths), ...authorityProblems(settings), ...directoryProblems(settings)]
}

function tlsProblems(settings: Settings, newPaths: ReadonlySet<string>): Problem[] {
  const { certificate: files, nodeKey, tlsMaxVersion: maxVersion } = settings
  if (files === undefined || newPaths.has(files.certificatePath)) return []
  return built(files.certificatePath, 'is refused by TLS', () => {
    const pem = {
      certificate: readFileSync(files.certificatePath, 'utf8'),
      key: readFileSync(files.keyPath, 'utf8'),
    }
    const seed = new Uint8Array(32)
    createSecureContext(
      tlsIdentity({ pem, publicKey: nodeKey.publicKey, seed, maxVersion, nowMs: Date.now() }),
    )
  })
}

function authorityProblems({ mesh }: Settings): Problem[] {
  return [
    ...built('-mesh-ca-file', 'is refused by TLS', () =>
      createSecureContext({ ca: [...authorities(mesh.ca)] }),
    ),
    ...built('-nats-ca-file', 'is refused by TLS', () => createSecureContext({ ca: mesh.nats?.ca })),
  ]
}

/** In a key directory each relay has a name of its own. */
function directoryProblems({ hostname, mesh }: Settings): Problem[] {
  const { nats, node, region, regions, regionsPath } = mesh
  if (nats === undefined) return []
  if (standingIn(regions, { hostname, node, region, hasDirectory: true }).name !== undefined) return []
  const found = `is not set, and ${hostname} in ${regionsPath} stands for none or several relays`
  return [{ where: '-node', found, expected: 'which of them this is' }]
}

function built(where: string, found: string, build: () => unknown): Problem[] {
  try {
    build()
    return []
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return [{ where, found: `${found}: ${reason}`, expected: '' }]
  }
}
