// Makes the owner of the relay's certificates with the source that the settings choose. Construction only. Runs on the
// control thread.

import { FileSource } from '#certificates/file-source.ts'
import type { CertificateHost, CertificateSource } from '#certificates/certificate-source.ts'
import type { Settings } from '#config/settings.ts'
import type { Log } from '#ops/log.ts'
import { Certificates } from './certificates.ts'
import type { RelayThreads } from './relay-threads.ts'
import type { Service } from './service.ts'

/** Undefined on plain TCP. */
export function makeCertificates(
  settings: Settings,
  log: Log,
  threads: Pick<RelayThreads, 'broadcast' | 'present'>,
): Certificates | undefined {
  const { certificate: files, hostname } = settings
  if (files === undefined) return undefined
  const makeSource = (host: CertificateHost): CertificateSource =>
    new FileSource({ files, hostname, host, now: Date.now })
  return new Certificates({
    settings,
    log,
    now: Date.now,
    makeSource,
    broadcast: (message) => threads.broadcast(message),
    present: () => threads.present,
  })
}

/** The moment from which an authority can validate this relay; to be started after the listeners. */
export function challengesAnswered(certificates: Certificates): Service {
  return { start: () => certificates.listening(), stop: () => undefined }
}
