// The log: one line per event on standard error, JSON for machines or text for people. Each line has `level`, `time`
// (ISO 8601, UTC) and `event`, then the fields of that event. Never payloads or private keys; whoever logs a node key
// shortens it first.

import { pino, stdSerializers, stdTimeFunctions, type Logger } from 'pino'
import { descriptorOf, LineOutput } from './line-output.ts'
import { LogEvent } from './log-event.ts'
import { readableLine } from './log-line.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFormat = 'json' | 'text'

/** `error` may be an Error: it is written with its stack and causes. */
export type LogFields = Readonly<Record<string, unknown>>

/** Takes whole lines, newline included. */
export interface LineSink {
  write(line: string): unknown
}

type ProcessStream = { readonly fd: number; readonly isTTY?: boolean }

interface LogOutput {
  /** Writes what still waits. */
  flush(): void
  linesLost(): number
}

/** The process's own output, which all its logs share: what is lost there is lost once. */
let processOutput: LineOutput | undefined = undefined

export class Log {
  readonly #pino: Logger
  readonly #output: LogOutput

  constructor(level: LogLevel, sink: LineSink, output: LogOutput = { flush: () => {}, linesLost: () => 0 }) {
    this.#output = output
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

  /** The process's log, on standard error. Nothing that befalls it ends the process. */
  static open(level: LogLevel, format: LogFormat, stderr: ProcessStream = process.stderr): Log {
    const written = format === 'text' ? readableLine : (line: string) => line
    const output = (processOutput ??= openOutput(stderr, written))
    const sink: LineSink = { write: (line) => output.write(written(line)) }
    return new Log(level, sink, { flush: () => output.flush(), linesLost: () => output.linesLost })
  }

  /** Lines that could not be written, by whichever log of this process. */
  get linesLost(): number {
    return this.#output.linesLost()
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
    this.#output.flush()
  }
}

function openOutput(stderr: ProcessStream, written: (line: string) => string): LineOutput {
  // Made by pino as well, so that this line is like all others.
  let line = ''
  const log = new Log('warn', { write: (text) => (line = text) })
  const output = new LineOutput(descriptorOf(stderr), (lines) => {
    log.warn(LogEvent.logLinesLost, { lines })
    return written(line)
  })
  process.on('exit', () => output.flush())
  return output
}
