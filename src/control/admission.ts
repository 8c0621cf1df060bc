// The relay's admission under a policy that reloads may change: one admission service while any check of clients is
// configured, none while the relay is open to everybody. Logs the outages of its backends, reads the operator's list of keys and
// keeps what backends have said. Runs on the control thread.

import { createHash } from 'node:crypto'
import type { Bans } from '#admission/bans.ts'
import { AdmissionService, type AdmissionServiceNumbers } from '#admission/admission-service.ts'
import type { AdmissionQuestion } from '#admission/remote-admission.ts'
import { rosterOf, type NamedRoster } from '#admission/tenant-roster.ts'
import type { AdmissionSettings, Settings } from '#config/settings.ts'
import type { CheckOutcome, HealthCheck } from '#ops/health.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { Reloads } from '#ops/reloads.ts'
import type { KicksFrom } from '#protocol/kicks-from.ts'
import type { AdmissionAnswer } from '#relay/ports.ts'
import { AdmissionMemory } from './admission-memory.ts'
import { BanMemory } from './ban-memory.ts'
import { KeyListFile } from './key-list-file.ts'
import { LeaseFile, type LeaseNumbers } from './lease-file.ts'
import type { FileReload } from './content-file.ts'
import type { Service } from './service.ts'

export interface RelayAdmissionParts {
  readonly settings: Pick<Settings, 'admission' | 'nodeKey'>
  readonly log: Log
  readonly reloads: Reloads
  /** Undefined without a state folder that the relay can use. */
  readonly stateFolder: string | undefined
  /** What admission goes by has changed: clients that are here are to be asked about again. */
  readonly onChange: () => void
  /** Another run of this relay denies a key for so long, or allows it again: 0. Who has it here is to be ended. */
  readonly onDenied: (key: Uint8Array, forMs: number) => void
  /** The tenants from now on; undefined: there are none. Called before the relay threads start, if there are any. */
  readonly onTenants: (roster: NamedRoster | undefined) => void
}

export class RelayAdmission implements Service, HealthCheck {
  readonly name = 'admission'
  readonly #service: AdmissionService
  readonly #list: KeyListFile
  readonly #lease: LeaseFile
  readonly #memory: AdmissionMemory | undefined
  readonly #banMemory: BanMemory | undefined
  readonly #onChange: () => void
  readonly #onTenants: RelayAdmissionParts['onTenants']
  #policy: AdmissionSettings
  /** The relay threads know of tenants. */
  #hasTenants = false
  #isOpen: boolean
  #isStarted = false

  constructor(parts: RelayAdmissionParts) {
    const { settings, log, reloads, stateFolder, onChange, onTenants } = parts
    const { admission, nodeKey } = settings
    this.#policy = admission
    this.#isOpen = admission.isOpen
    this.#onChange = onChange
    this.#onTenants = onTenants
    const service = makeService(admission, nodeKey.publicKey, log)
    this.#service = service
    const { known } = service
    this.#memory =
      stateFolder === undefined
        ? undefined
        : new AdmissionMemory({
            folder: stateFolder,
            memory: known.memory,
            backEnds: () => nameOf(this.#policy),
            failingSinceMs: () => known.failingSinceMs,
            log,
          })
    const failingMs = this.#memory?.read()
    if (failingMs !== undefined) known.continueFailing(failingMs)
    this.#banMemory = banMemoryOf(known.bans, parts)
    this.#banMemory?.read()
    this.#list = new KeyListFile({
      log,
      reloads,
      onList: (list) => {
        known.setList(list)
        if (!this.#isStarted) return
        this.#tellTenants()
        onChange()
      },
    })
    this.#list.setPath(admission.allowKeysPath)
    this.#lease = new LeaseFile({
      log,
      reloads,
      stateFolder,
      onLeases: (leases) => known.setLeases(leases),
      onChange: () => {
        this.#tellTenants()
        onChange()
      },
    })
    this.#lease.setSource(admission.lease)
  }

  /** An open relay has no check. */
  get isOff(): boolean {
    return this.#isOpen
  }

  /** Siblings that may end clients here. */
  get kicksFrom(): KicksFrom {
    return this.#policy.kicksFrom
  }

  /** Undefined for an open relay. */
  get numbers(): (AdmissionServiceNumbers & { readonly lease: LeaseNumbers | undefined }) | undefined {
    return this.#isOpen ? undefined : { ...this.#service.numbers, lease: this.#lease.numbers }
  }

  /** Applies to questions that come from now on; clients that are here are asked about again. */
  setPolicy(policy: AdmissionSettings): void {
    this.#policy = policy
    this.#isOpen = policy.isOpen
    this.#service.setPolicy(policy)
    this.#list.setPath(policy.allowKeysPath)
    this.#lease.setSource(policy.lease)
    this.#tellTenants()
    this.#onChange()
  }

  /** Undefined: it has none. */
  tenantOf(key: Uint8Array): string | undefined {
    return this.#service.known.tenantOf(key)
  }

  /** Siblings have admitted these keys, one after another. */
  siblingsHave(keys: Uint8Array): void {
    if (!this.#isOpen) this.#service.known.siblingsHave(keys)
  }

  /** Whom an operator denies. Who changes it calls `keepBan`, and ends who has the key here. */
  get bans(): Bans {
    return this.#service.known.bans
  }

  /** Whether the key is denied has changed. Resolves to whether a later run will know it. */
  async keepBan(key: Uint8Array): Promise<boolean> {
    return (await this.#banMemory?.keep(key)) ?? false
  }

  async reload(): Promise<readonly FileReload[]> {
    return [...(await this.#list.reload()), ...(await this.#lease.reload())]
  }

  start(): void {
    this.#isStarted = true
    this.#tellTenants()
    this.#service.start()
    this.#list.start()
    this.#lease.start()
    this.#memory?.start()
    this.#banMemory?.start()
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
    const outcome = this.#service.check()
    if (this.#policy.lease === undefined) return outcome
    // Nobody would be admitted.
    const isEmpty = (this.#lease.numbers?.leftMs ?? 0) <= 0 && !this.#hasOthers
    return { isOk: outcome.isOk && !isEmpty, detail: `${this.#lease.text}; ${outcome.detail}` }
  }

  get #hasOthers(): boolean {
    const { verifyUrl, tailscaledSocket } = this.#policy
    return verifyUrl !== undefined || tailscaledSocket !== undefined || this.#service.known.listSize > 0
  }

  #tellTenants(): void {
    const { isolatesTenants } = this.#policy
    const { known } = this.#service
    const roster = rosterOf(known.tenants(), isolatesTenants, known.tenantRules)
    const hasTenants = isolatesTenants || roster.tenants.length > 0
    if (!hasTenants && !this.#hasTenants) return
    this.#hasTenants = hasTenants
    this.#onTenants(hasTenants ? roster : undefined)
  }

  async stop(): Promise<void> {
    this.#service.stop()
    this.#list.stop()
    this.#lease.stop()
    await this.#memory?.stop()
    await this.#banMemory?.stop()
  }
}

/** Undefined without a state folder. */
function banMemoryOf(
  bans: Bans,
  { stateFolder: folder, log, onDenied }: RelayAdmissionParts,
): BanMemory | undefined {
  if (folder === undefined) return undefined
  return new BanMemory({
    folder,
    bans,
    log,
    onChange: (changed) => changed.forEach(([key, forMs]) => onDenied(key, forMs)),
  })
}

/** Of the back ends of a policy; a URL may have a password. */
function nameOf({ verifyUrl = '', tailscaledSocket = '' }: AdmissionSettings): string {
  return createHash('sha256').update(`${verifyUrl}\n${tailscaledSocket}`).digest('hex').slice(0, 32)
}

function makeService(policy: AdmissionSettings, ownKey: Uint8Array, log: Log): AdmissionService {
  const now = (): number => performance.now()
  const service: AdmissionService = new AdmissionService({
    policy,
    env: process.env,
    ownKey,
    onOutage: ({ backend, cause }, admitsAll) => {
      log.warn(LogEvent.admissionBackendDown, {
        backend,
        cause,
        clients: admitsAll
          ? 'all admitted'
          : service.known.isGraceful
            ? 'known ones admitted'
            : 'all refused',
      })
    },
    onRecovery: ({ backend, sinceMs }) => {
      log.info(LogEvent.admissionBackendUp, {
        backend,
        outageSeconds: Math.round((now() - sinceMs) / 1_000),
      })
    },
    random: () => Math.random(),
    onFault: (error) => log.error(LogEvent.admissionFailed, { error }),
    now,
  })
  return service
}
