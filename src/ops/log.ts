// The log: one line per event, JSON on standard error for machines, readable on a terminal. Each line has `level`,
// `time` (ISO 8601, UTC) and `event`, then the fields of that event. Never payloads or private keys; whoever logs a
// node key shortens it first.

import { pino, stdSerializers, stdTimeFunctions, type Logger } from 'pino'
import type { LogEvent } from './log-event.ts'
import { readableLine } from './log-line.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** `error` may be an Error: it is written with its stack and causes. */
export type LogFields = Readonly<Record<string, unknown>>

/** Takes whole lines, newline included. */
export interface LineSink {
  write(line: string): unknown
}

/** The part of a stream that tells how to write to it. */
export interface LogOutput extends LineSink {
  readonly isTTY?: boolean
}

/** Lines wait here while a pipe is full; beyond it they are lost, so that a stuck reader can't stop the relay. */
const WAITING_BYTES_MAX = 1_048_576
const STDERR_FD = 2

export class Log {
  readonly #pino: Logger
  readonly #flush: () => void

  /** @param flush writes what still waits */
  constructor(level: LogLevel, sink: LineSink, flush: () => void = () => {}) {
    this.#flush = flush
    this.#pino = pino(
      {
        level,
        // Process and machine are known to whoever collects the lines.
        base: null,
        timestamp: stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
        serializers: { error: stdSerializers.errWithCause },
      },
      sink,
    )
  }

  /** The process's log: readable when `stderr` is a terminal, JSON otherwise. */
  static open(level: LogLevel, stderr: LogOutput): Log {
    if (stderr.isTTY === true) {
      return new Log(level, { write: (line) => stderr.write(readableLine(line)) })
    }
    const destination = pino.destination({ dest: STDERR_FD, sync: false, maxLength: WAITING_BYTES_MAX })
    return new Log(level, destination, () => destination.flushSync())
  }

  /** Whether lines of this level are written; to spare the making of their fields. */
  isEnabled(level: LogLevel): boolean {
    return this.#pino.isLevelEnabled(level)
  }

  /** Takes effect at once. */
  setLevel(level: LogLevel): void {
    this.#pino.level = level
  }

  debug(event: LogEvent, fields?: LogFields): void {
    this.#pino.debug({ event, ...fields })
  }

  info(event: LogEvent, fields?: LogFields): void {
    this.#pino.info({ event, ...fields })
  }

  warn(event: LogEvent, fields?: LogFields): void {
    this.#pino.warn({ event, ...fields })
  }

  error(event: LogEvent, fields?: LogFields): void {
    this.#pino.error({ event, ...fields })
  }

  /** Writes what still waits, before the process ends. */
  flush(): void {
    this.#flush()
  }
}
