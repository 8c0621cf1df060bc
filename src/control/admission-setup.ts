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
    onOutage: ({ backEnd, cause }, admitsAll) => {
      log.warn(LogEvent.admissionBackendDown, {
        backend: backEnd,
        cause,
        clients: admitsAll ? 'all admitted' : 'all refused',
      })
    },
    onReturn: ({ backEnd, sinceMs }) => {
      log.info(LogEvent.admissionBackendUp, {
        backend: backEnd,
        outageSeconds: Math.round((now() - sinceMs) / 1_000),
      })
    },
    onFault: (error) => log.error(LogEvent.admissionFailed, { error }),
    now,
  })
}
