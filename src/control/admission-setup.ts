// Makes a relay's admission service, which logs the outages of its back ends. Construction only. Runs on the control thread.

import { AdmissionService } from '#admission/admission-service.ts'
import type { Settings } from '#config/settings.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'

/** Undefined for a relay that is open to everybody. */
export function makeAdmissionService(settings: Settings, log: Log): AdmissionService | undefined {
  if (settings.admission.isOpen) return undefined
  const now = (): number => performance.now()
  return new AdmissionService({
    policy: settings.admission,
    env: process.env,
    ownKey: settings.nodeKey.publicKey,
    onOutage: ({ backend, cause }, admitsAll) => {
      log.warn(LogEvent.admissionBackendDown, {
        backend,
        cause,
        clients: admitsAll ? 'all admitted' : 'all refused',
      })
    },
    onRecovery: ({ backend, sinceMs }) => {
      log.info(LogEvent.admissionBackendUp, {
        backend,
        outageSeconds: Math.round((now() - sinceMs) / 1_000),
      })
    },
    onFault: (error) => log.error(LogEvent.admissionFailed, { error }),
    now,
  })
}
