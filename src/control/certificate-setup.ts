// Makes the owner of the relay's certificates with the source that the settings choose: files, or an authority by ACME.
// Construction only. Runs on the control thread.

import { HttpConnections } from '#admission/http-connections.ts'
import { AcmeSource } from '#certificates/acme-source.ts'
import { CertificateStore } from '#certificates/certificate-store.ts'
import { FileSource } from '#certificates/file-source.ts'
import type { CertificateSource } from '#certificates/certificate-source.ts'
import type { HttpChallenges } from '#certificates/http-challenges.ts'
import type { Settings } from '#config/settings.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import type { Log } from '#ops/log.ts'
import { Certificates, type CertificatesParts } from './certificates.ts'
import type { RelayThreads } from './relay-threads.ts'
import type { Run } from './run.ts'
import type { Service } from './service.ts'

export interface CertificateSetupParts {
  readonly log: Log
  readonly threads: Pick<RelayThreads, 'broadcast' | 'handled'>
  /** Of the HTTP port; undefined without one. */
  readonly challenges: HttpChallenges | undefined
  readonly run: Pick<Run, 'isNewest'>
}

/** Undefined on plain TCP. */
export function makeCertificates(
  settings: Settings,
  { log, threads, challenges, run }: CertificateSetupParts,
): Certificates | undefined {
  const makeSource = sourceOf(settings, challenges, run)
  if (makeSource === undefined) return undefined
  return new Certificates({
    settings,
    log,
    now: Date.now,
    makeSource,
    broadcast: (message) => threads.broadcast(message),
    handled: async () => await threads.handled(),
  })
}

function sourceOf(
  { acme, certificate: files, hostname, nodeKey }: Settings,
  http: HttpChallenges | undefined,
  run: Pick<Run, 'isNewest'>,
): CertificatesParts['makeSource'] | undefined {
  if (files !== undefined) return (host) => new FileSource({ files, hostname, host, now: Date.now })
  if (acme === undefined) return undefined
  return (host, tlsAlpn): CertificateSource =>
    new AcmeSource({
      settings: acme,
      host,
      relay: publicKeyText(nodeKey.publicKey),
      store: new CertificateStore(acme.folder),
      challenges: { tlsAlpn, http },
      sender: new HttpConnections(process.env),
      isInCharge: () => run.isNewest,
    })
}

/** The moment from which an authority can validate this relay; to be started after the listeners. */
export function challengesAnswered(certificates: Certificates): Service {
  return { start: () => certificates.listening(), stop: () => undefined }
}
