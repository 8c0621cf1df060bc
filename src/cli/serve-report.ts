// What `serve` reports about its start and its end. With the text format, for people: a banner on standard output, and
// notes and problems on standard error, besides the log's lines. With the JSON format, for programs: every line of
// standard error is an event of the log, from the first line to the last, and standard output is empty.

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
import { quickStartText } from './quick-start.ts'
import { reportProblems, reportWarnings } from './report.ts'
import { packageVersion } from '#ops/version.ts'

export interface ServeReport {
  readonly log: Log
  invalidConfiguration(problems: readonly Problem[]): void
  startFailed(error: unknown): void
  fileCreated(path: string): void
  warnings(warnings: readonly string[]): void
  started(settings: Settings, addresses: RelayAddresses): void
  relayFailed(error: Error): void
  stopped(by: NodeJS.Signals | 'drain'): void
  /** A part of the relay still runs. */
  stopFailed(error: unknown): void
}

/** Opens the report in the format of the settings, which may be invalid otherwise. */
export function openReport(raw: RawSettings, io: Io): ServeReport {
  const format = raw.values.get('log-format') ?? defaultFormat(io.stderr)
  const log = Log.open(raw.values.get('log-level'), format)
  globalThis.console = libraryConsole(log)
  if (format === 'text') return new PrintedReport(log, io, raw.values.get('quick-start'))
  io.setProcessMessages?.({
    faultLine: (error) => logLine('error', LogEvent.relayFailed, { error }),
    warn: ({ name, message }) => log.warn(LogEvent.runtimeWarning, { name, message }),
  })
  return new LoggedReport(log)
}

/** Text on a terminal; JSON for everything else, which most likely collects logs. */
function defaultFormat(stderr: TextSink): LogFormat {
  return 'isTTY' in stderr && stderr.isTTY === true ? 'text' : 'json'
}

/** A line of the log as text, for a caller that writes it itself. */
function logLine(level: LogLevel, event: LogEvent, fields: LogFields): string {
  let line = ''
  new Log(level, { write: (text) => (line = text) })[level](event, fields)
  return line
}

class LoggedReport implements ServeReport {
  readonly log: Log

  constructor(log: Log) {
    this.log = log
  }

  invalidConfiguration(problems: readonly Problem[]): void {
    this.log.error(LogEvent.startFailed, {
      reason: 'invalid configuration',
      problems: problems.map(problemText),
    })
  }

  startFailed(error: unknown): void {
    this.log.error(LogEvent.startFailed, { reason: messageOf(error) })
  }

  fileCreated(path: string): void {
    this.log.info(LogEvent.fileCreated, { path })
  }

  warnings(warnings: readonly string[]): void {
    for (const message of warnings) this.log.warn(LogEvent.settingWarning, { message })
  }

  started(): void {
    // The relay logs relay_started.
  }

  relayFailed(): void {
    // The relay logs relay_failed.
  }

  stopped(): void {
    // The relay logs relay_stopped.
  }

  stopFailed(error: unknown): void {
    this.log.error(LogEvent.stopFailed, { reason: messageOf(error) })
    this.log.flush()
  }
}

class PrintedReport implements ServeReport {
  readonly log: Log
  readonly #io: Io
  readonly #isQuickStart: boolean

  constructor(log: Log, io: Io, isQuickStart: boolean) {
    this.log = log
    this.#io = io
    this.#isQuickStart = isQuickStart
  }

  invalidConfiguration(problems: readonly Problem[]): void {
    reportProblems(this.#io.stderr, 'derpfleet: not started: invalid configuration', problems)
  }

  startFailed(error: unknown): void {
    this.#io.stderr.write(`derpfleet: not started: ${messageOf(error)}\n`)
  }

  fileCreated(path: string): void {
    this.#io.stderr.write(`note: created ${path}\n`)
  }

  warnings(warnings: readonly string[]): void {
    reportWarnings(this.#io.stderr, warnings)
  }

  started(settings: Settings, addresses: RelayAddresses): void {
    this.#io.stdout.write(bannerText(settings, addresses))
    if (this.#isQuickStart) this.#io.stdout.write(quickStartText(settings, addresses))
  }

  relayFailed(error: Error): void {
    this.#io.stderr.write(`derpfleet: the relay failed: ${messageOf(error)}\n`)
  }

  stopped(by: NodeJS.Signals | 'drain'): void {
    this.#io.stdout.write(by === 'drain' ? 'drained and stopped\n' : `stopped by ${by}\n`)
  }

  stopFailed(error: unknown): void {
    this.#io.stderr.write(`derpfleet: ${messageOf(error)}\n`)
  }
}

/** The relay's version and key, and one line for each listener. */
function bannerText(settings: Settings, addresses: RelayAddresses): string {
  const { derp, http, stun, admin } = addresses
  const tls = !settings.isTls ? 'plain TCP' : `TLS for ${settings.hostname}`
  const lines = [
    `derpfleet ${packageVersion()} is running with the key ${publicKeyText(settings.nodeKey.publicKey)}`,
    `  DERP   ${endpointText(derp)}, ${tls}${settings.isDerpEnabled ? '' : ', relaying disabled'}`,
    ...(http === undefined ? [] : [`  HTTP   ${endpointText(http)}`]),
    ...(stun === undefined ? [] : [`  STUN   ${endpointText(stun)}/udp`]),
    ...(admin === undefined ? [] : [`  admin  http://${endpointText(admin)}/`]),
  ]
  return `${lines.join('\n')}\n`
}

/** The message of an error with those of its causes, each once. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : messageOf(error.cause)
  return cause === '' || error.message.includes(cause) ? error.message : `${error.message}: ${cause}`
}
