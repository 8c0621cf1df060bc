// Text that libraries print on the console, as debug lines of the log. A relay prints nothing but its log, and a library
// may print bytes of a remote: the NATS client prints server messages that it can't parse. Own code writes log events
// instead.

import { Console } from 'node:console'
import { Writable } from 'node:stream'
import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'

/** Enough to recognise the source. */
const TEXT_CHARACTERS_MAX = 200

/** A console that writes to the log at level `debug`. */
export function libraryConsole(log: Log): Console {
  const lines = new Writable({
    decodeStrings: false,
    write: (text: string, _encoding, done) => {
      log.debug(LogEvent.libraryPrinted, { text: text.trim().slice(0, TEXT_CHARACTERS_MAX) })
      done()
    },
  })
  return new Console(lines)
}
