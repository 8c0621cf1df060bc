// What libraries print by the console, as lines of the log: a relay's output is its log alone, and what a library prints
// may come from strangers (the NATS client prints what a server sent that it can't read). For whoever debugs; not for
// lines of our own, which are events.

import { Console } from 'node:console'
import { Writable } from 'node:stream'
import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'

/** Enough to find where it comes from. */
const TEXT_CHARACTERS_MAX = 200

/** A console that writes to the log, at `debug`. */
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
