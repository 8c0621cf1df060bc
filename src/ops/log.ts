// The log: one line per event on standard error, as JSON or as text. Each line has `level`, `time` (ISO 8601, UTC) and
// `event`, then the fields of that event. Payloads and private keys are never logged; callers shorten node keys. Used on
// the control thread; relay threads send it messages.

import { pino, stdSerializers, stdTimeFunctions, type Logger } from 'pino'
import { descriptorOf, LineOutput } from './line-output.ts'
import { EventRing } from './event-ring.ts'
import { LogEvent } from './log-event.ts'
import { readableLine } from './log-line.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFormat = 'json' | 'text'

/** `error` may be an Error: it is written with its stack and causes. */
export type LogFields = Readonly<Record<string, unknown>>

/** Receives whole lines, newline included. */
export interface LineSink {
  write(line: string): unknown
}

type ProcessStream = { readonly fd: number; readonly isTTY?: boolean }

interface LogOutput {
  /** Writes the lines that still wait. */
  flush(): void
  linesLost(): number
}

/** The output of the process, shared by all its logs, so that each lost line is counted once. */
let processOutput: LineOutput | undefined = undefined

export class Log {
  /** The last events, whatever the level of the log is. */
  readonly recent = new EventRing()
  readonly #pino: Logger
  readonly #output: LogOutput

  constructor(level: LogLevel, sink: LineSink, output: LogOutput = { flush: () => {}, linesLost: () => 0 }) {
    this.#output = output
    this.#pino = pino(
      {
        level,
        // The log collector knows the process and the machine.
        base: null,
        timestamp: stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
        serializers: { error: stdSerializers.errWithCause },
      },
      sink,
    )
  }

  /** The process's log, on standard error. A failure of the output never ends the process. */
  static open(level: LogLevel, format: LogFormat, stderr: ProcessStream = process.stderr): Log {
    const written = format === 'text' ? readableLine : (line: string) => line
    const output = (processOutput ??= openOutput(stderr, written))
    const sink: LineSink = { write: (line) => output.write(written(line)) }
    return new Log(level, sink, { flush: () => output.flush(), linesLost: () => output.linesLost })
  }

  /** Lines that could not be written, of all logs of this process. */
  get linesLost(): number {
    return this.#output.linesLost()
  }

  /** Whether lines of this level are written. Callers check it to avoid building the fields in vain. */
  isEnabled(level: LogLevel): boolean {
    return this.#pino.isLevelEnabled(level)
  }

  /** Changes the minimum level, effective at once. */
  setLevel(level: LogLevel): void {
    this.#pino.level = level
  }

  debug(event: LogEvent, fields?: LogFields): void {
    this.#pino.debug({ event, ...fields })
  }

  info(event: LogEvent, fields?: LogFields): void {
    this.recent.note('info', event, fields)
    this.#pino.info({ event, ...fields })
  }

  warn(event: LogEvent, fields?: LogFields): void {
    this.recent.note('warn', event, fields)
    this.#pino.warn({ event, ...fields })
  }

  error(event: LogEvent, fields?: LogFields): void {
    this.recent.note('error', event, fields)
    this.#pino.error({ event, ...fields })
  }

  /** Writes the lines that still wait, before the process ends. */
  flush(): void {
    this.#output.flush()
  }
}

function openOutput(stderr: ProcessStream, written: (line: string) => string): LineOutput {
  // pino makes this line as well, so that it looks like all others.
  let line = ''
  const log = new Log('warn', { write: (text) => (line = text) })
  const output = new LineOutput(descriptorOf(stderr), (lines) => {
    log.warn(LogEvent.logLinesLost, { lines })
    return written(line)
  })
  process.on('exit', () => output.flush())
  return output
}
