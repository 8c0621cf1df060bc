// Messages from the relay threads, each handed to the part that handles its kind, and what follows when a thread dies or
// serves again. No logic of its own. Runs on the control thread.

import { isKick } from '#fleet/kick.ts'
import { isLook } from '#fleet/look.ts'
import type { LinkWatch } from '#ops/link-watch.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { SessionEndLog, type SessionEndText } from '#ops/session-end-log.ts'
import { SessionStartLog } from '#ops/session-start-log.ts'
import { SiblingLog } from '#ops/sibling-log.ts'
import type { SessionEnd } from '#relay/ports.ts'
import type { RegionsQuestion } from '#worker/remote-regions.ts'
import type { AddressBan, FromRelayThread } from '#worker/thread-messages.ts'
import type { RelayAdmission } from './admission.ts'
import type { Certificates } from './certificates.ts'
import type { ClientsService } from './clients-service.ts'
import type { FleetService } from './fleet-service.ts'
import type { KeyDirectoryService } from './key-directory-service.ts'
import type { KickService } from './kick-service.ts'
import type { LookService } from './look-service.ts'
import type { QualityService } from './quality-service.ts'
import type { Readiness } from './readiness.ts'
import type { RegionsService } from './regions-service.ts'
import type { Run } from './run.ts'
import type { ShownIdentity } from './shown-identity.ts'
import type { MessageSource, RelayThreads, ThreadDeath } from './relay-threads.ts'
import type { ThreadWays } from './thread-ways.ts'

/** Log lines per second for logins, and as many for ends of sessions. */
const SESSION_LINES_PER_SECOND = 10

export interface ThreadDispatchParts {
  readonly log: Log
  readonly links: LinkWatch
  readonly fleet: Pick<FleetService, 'noteLinks' | 'take' | 'threadEnded'>
  readonly looks: Pick<LookService, 'take'>
  readonly kicks: Pick<KickService, 'take'>
  readonly quality: QualityService
  readonly clients: Pick<ClientsService, 'take' | 'threadEnded'>
  /** Undefined without a regions file. */
  readonly regions: Pick<RegionsService, 'publicRankingFor'> | undefined
  readonly run: Pick<Run, 'threadDied'>
  readonly readiness: Pick<Readiness, 'threadsChanged'>
  readonly threadWays: ThreadWays
  readonly admission: RelayAdmission
  readonly shown: ShownIdentity
  readonly threads: Pick<RelayThreads, 'broadcast'>
  /** Undefined on plain TCP. */
  readonly certificates: Certificates | undefined
  /** Undefined without a key directory. */
  readonly keyDirectory: KeyDirectoryService | undefined
}

export class ThreadDispatch {
  readonly #parts: ThreadDispatchParts
  readonly #sessionEnds: SessionEndLog
  readonly #sessionStarts: SessionStartLog
  readonly #siblings: SiblingLog

  constructor(parts: ThreadDispatchParts) {
    this.#parts = parts
    const { log } = parts
    const sessionLogParts = {
      log,
      linesPerSecond: SESSION_LINES_PER_SECOND,
      later: (delayMs: number, callback: () => void) => void setTimeout(callback, delayMs).unref(),
      now: () => performance.now(),
    }
    this.#sessionEnds = new SessionEndLog(sessionLogParts)
    this.#sessionStarts = new SessionStartLog(sessionLogParts)
    this.#siblings = new SiblingLog(log)
  }

  onMessage(message: FromRelayThread, from: MessageSource): void {
    const { log, links, fleet, looks, kicks, admission, keyDirectory, quality, shown } = this.#parts
    switch (message.kind) {
      case 'askAdmission':
        return admission.ask(from.index, message, (answer) =>
          from.send({ kind: 'admissionAnswer', id: message.id, answer }),
        )
      case 'cancelAdmission':
        return admission.cancel(from.index, message.id)
      case 'askRegions':
        return void this.#rankRegions(message, from)
      case 'sessionStarted':
        return this.#sessionStarts.write({ ...message.notice, ...this.#shown(message.notice) })
      case 'sessionEnded':
        return this.#sessionEnds.write({ ...message.notice, ...this.#shown(message.notice) })
      case 'homeChanged':
        return this.#sessionStarts.writeHome({ ...message.notice, key: shown.key(message.notice.key) })
      case 'addressBanned':
        return this.#onBan(message)
      case 'linkReports':
        links.note(from.index, message.edition, message.links)
        fleet.noteLinks(from.index, message.links)
        return this.#siblings.write(from.index, message.links)
      case 'relayState':
        if (isLook(message.state)) return looks.take(message.key, message.state, from)
        if (isKick(message.state)) return kicks.take(message.key, message.state, from)
        return fleet.take(message.key, message.state, 'link')
      case 'announceHomes':
        return keyDirectory?.homesChanged(from.index, message.changes)
      case 'roundTrips':
        return void quality.roundTripsRead(message.roundTrips)
      case 'siblingKeys':
        return admission.siblingsHave(message.keys)
      case 'clients':
        return this.#parts.clients.take(message.id, message.part)
      case 'lookUpKey':
        return keyDirectory?.lookUp(from.index, message.key)
      case 'handleSelfTestFailed':
        return log.warn(LogEvent.handleSelfTestFailed, { reason: message.text })
      case 'opensslFailed':
        return log.warn(LogEvent.opensslFailed, { reason: message.text })
      case 'way':
        return this.#parts.threadWays.note(from.index, message.way)
      case 'runtimeWarning':
        return log.warn(LogEvent.runtimeWarning, { name: message.name, message: message.text })
    }
  }

  #onBan({ ip, reason, forMs }: AddressBan): void {
    const { log, shown, threads } = this.#parts
    const address = shown.remote({ ip, port: 0 })?.replace(/:0$/, '')
    log.warn(LogEvent.addressBanned, { address, reason, seconds: Math.round(forMs / 1_000) })
    threads.broadcast({ kind: 'banAddress', ip, forMs })
  }

  #shown({ key, remote }: Pick<SessionEnd, 'key' | 'remote'>): Pick<SessionEndText, 'key' | 'remote'> {
    const { shown } = this.#parts
    return { key: key === undefined ? undefined : shown.key(key), remote: shown.remote(remote) }
  }

  async #rankRegions({ id, ip }: RegionsQuestion, from: MessageSource): Promise<void> {
    from.send({ kind: 'regionsAnswer', id, json: await this.#parts.regions?.publicRankingFor(ip) })
  }

  onDeath(death: ThreadDeath): void {
    const { log, links, fleet, admission, keyDirectory, readiness } = this.#parts
    log.error(LogEvent.threadDied, { ...death })
    links.forget(death.thread)
    fleet.threadEnded(death.thread)
    admission.forget(death.thread)
    this.#parts.clients.threadEnded(death.thread)
    keyDirectory?.threadEnded(death.thread)
    this.#parts.run.threadDied()
    readiness.threadsChanged()
  }

  onRestart(thread: number): void {
    const { log, readiness } = this.#parts
    log.info(LogEvent.threadRestarted, { thread })
    readiness.threadsChanged()
  }
}
