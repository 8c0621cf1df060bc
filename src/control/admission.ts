// The relay's admission under a policy that reloads may change: one admission service while any check of clients is
// configured, none while the relay is open to everybody. Logs the outages of its backends. Runs on the control thread.

import { AdmissionService, type AdmissionServiceNumbers } from '#admission/admission-service.ts'
import type { AdmissionQuestion } from '#admission/remote-admission.ts'
import type { AdmissionSettings, Settings } from '#config/settings.ts'
import type { CheckOutcome, HealthCheck } from '#ops/health.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { AdmissionAnswer } from '#relay/ports.ts'
import type { Service } from './service.ts'

export class RelayAdmission implements Service, HealthCheck {
  readonly name = 'admission'
  readonly #service: AdmissionService
  #isOpen: boolean

  constructor({ admission, nodeKey }: Pick<Settings, 'admission' | 'nodeKey'>, log: Log) {
    this.#isOpen = admission.isOpen
    this.#service = makeService(admission, nodeKey.publicKey, log)
  }

  /** An open relay has no check. */
  get isOff(): boolean {
    return this.#isOpen
  }

  /** Undefined for an open relay. */
  get numbers(): AdmissionServiceNumbers | undefined {
    return this.#isOpen ? undefined : this.#service.numbers
  }

  /** Applies to questions that come from now on; clients that are admitted stay. */
  setPolicy(policy: AdmissionSettings): void {
    this.#isOpen = policy.isOpen
    this.#service.setPolicy(policy)
  }

  start(): void {
    this.#service.start()
  }

  ask(thread: number, question: AdmissionQuestion, answered: (answer: AdmissionAnswer) => void): void {
    this.#service.ask(thread, question, answered)
  }

  cancel(thread: number, id: number): void {
    this.#service.cancel(thread, id)
  }

  /** A relay thread has died, and its questions with it. */
  forget(thread: number): void {
    this.#service.forget(thread)
  }

  check(): CheckOutcome {
    return this.#service.check()
  }

  stop(): void {
    this.#service.stop()
  }
}

function makeService(policy: AdmissionSettings, ownKey: Uint8Array, log: Log): AdmissionService {
  const now = (): number => performance.now()
  return new AdmissionService({
    policy,
    env: process.env,
    ownKey,
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
