// What `serve` says of its start and its end. To a person: a banner on standard output, notes and complaints on
// standard error, beside the log's readable lines. To a machine: lines of the log and nothing else, on standard error
// from the first to the last.

import { endpointText } from '#config/endpoint.ts'
import { problemText, type Problem } from '#fleet/problem.ts'
import type { RawSettings } from '#config/read-settings.ts'
import type { Settings } from '#config/settings.ts'
import type { RelayAddresses } from '#control/relay-addresses.ts'
import { libraryConsole } from '#ops/library-output.ts'
import { LogEvent } from '#ops/log-event.ts'
import { Log, type LogFields, type LogFormat, type LogLevel } from '#ops/log.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import type { Io, TextSink } from './command.ts'
import { isQuickStart, quickStartText } from './quick-start.ts'
import { reportProblems, reportWarnings } from './report.ts'
import { packageVersion } from '#ops/version.ts'

export interface StartReport {
  readonly log: Log
  refused(problems: readonly Problem[]): void
  notStarted(error: unknown): void
  made(path: string): void
  warn(warnings: readonly string[]): void
  serving(settings: Settings, addresses: RelayAddresses): void
  failed(error: Error): void
  stopped(signal: NodeJS.Signals): void
  /** Something of it runs on. */
  notEnded(error: unknown): void
}

/** In the form that the settings ask for, even if they are good for nothing else. */
export function openReport(raw: RawSettings, io: Io): StartReport {
  const format = raw.values.get('log-format') ?? usualFormat(io.stderr)
  const log = Log.open(raw.values.get('log-level'), format)
  globalThis.console = libraryConsole(log)
  if (format === 'text') return new PrintedReport(log, io, isQuickStart(raw))
  io.speakAs?.({
    faultLine: (error) => logLine('error', LogEvent.relayFailed, { error }),
    warning: ({ name, message }) => log.warn(LogEvent.runtimeWarning, { name, message }),
  })
  return new LoggedReport(log)
}

/** A terminal has a person before it; all else collects lines. */
function usualFormat(stderr: TextSink): LogFormat {
  return 'isTTY' in stderr && stderr.isTTY === true ? 'text' : 'json'
}

/** One line of the log, for whoever writes it by themselves. */
function logLine(level: LogLevel, event: LogEvent, fields: LogFields): string {
  let line = ''
  new Log(level, { write: (text) => (line = text) })[level](event, fields)
  return line
}

class LoggedReport implements StartReport {
  readonly log: Log

  constructor(log: Log) {
    this.log = log
  }

  refused(problems: readonly Problem[]): void {
    this.log.error(LogEvent.startFailed, {
      reason: 'invalid configuration',
      problems: problems.map(problemText),
    })
  }

  notStarted(error: unknown): void {
    this.log.error(LogEvent.startFailed, { reason: messageOf(error) })
  }

  made(path: string): void {
    this.log.info(LogEvent.fileCreated, { path })
  }

  warn(warnings: readonly string[]): void {
    for (const message of warnings) this.log.warn(LogEvent.settingWarning, { message })
  }

  serving(): void {
    // The log has it: relay_started.
  }

  failed(): void {
    // The log has it: relay_failed.
  }

  stopped(): void {
    // The log has it: relay_stopped.
  }

  notEnded(error: unknown): void {
    this.log.error(LogEvent.stopFailed, { reason: messageOf(error) })
    this.log.flush()
  }
}

class PrintedReport implements StartReport {
  readonly log: Log
  readonly #io: Io
  readonly #isQuickStart: boolean

  constructor(log: Log, io: Io, isQuickStarted: boolean) {
    this.log = log
    this.#io = io
    this.#isQuickStart = isQuickStarted
  }

  refused(problems: readonly Problem[]): void {
    reportProblems(this.#io.stderr, 'derpfleet: not started: invalid configuration', problems)
  }

  notStarted(error: unknown): void {
    this.#io.stderr.write(`derpfleet: not started: ${messageOf(error)}\n`)
  }

  made(path: string): void {
    this.#io.stderr.write(`note: made ${path}\n`)
  }

  warn(warnings: readonly string[]): void {
    reportWarnings(this.#io.stderr, warnings)
  }

  serving(settings: Settings, addresses: RelayAddresses): void {
    this.#io.stdout.write(servingText(settings, addresses))
    if (this.#isQuickStart) this.#io.stdout.write(quickStartText(settings, addresses))
  }

  failed(error: Error): void {
    this.#io.stderr.write(`derpfleet: the relay failed: ${messageOf(error)}\n`)
  }

  stopped(signal: NodeJS.Signals): void {
    this.#io.stdout.write(`stopped by ${signal}\n`)
  }

  notEnded(error: unknown): void {
    this.#io.stderr.write(`derpfleet: ${messageOf(error)}\n`)
  }
}

/** One line for each listener. */
function servingText(settings: Settings, addresses: RelayAddresses): string {
  const { derp, http, stun, admin } = addresses
  const tls = settings.certificate === undefined ? 'plain TCP' : `TLS for ${settings.hostname}`
  const lines = [
    `derpfleet ${packageVersion()} serves as ${publicKeyText(settings.nodeKey.publicKey)}`,
    `  DERP   ${endpointText(derp)}, ${tls}${settings.isDerpEnabled ? '' : ', relaying switched off'}`,
    ...(http === undefined ? [] : [`  HTTP   ${endpointText(http)}`]),
    ...(stun === undefined ? [] : [`  STUN   ${endpointText(stun)}/udp`]),
    ...(admin === undefined ? [] : [`  admin  http://${endpointText(admin)}/`]),
  ]
  return `${lines.join('\n')}\n`
}

/** The message with its causes, each once. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : messageOf(error.cause)
  return cause === '' || error.message.includes(cause) ? error.message : `${error.message}: ${cause}`
}
