// Reads what a socket's descriptor has, without waiting for the runtime to say that there is something: how polled
// connections are read. Runs on a relay thread.

import { readSync } from 'node:fs'
import { SHARE_BYTES_MAX } from './read-state.ts'

/** Returns the number of bytes: 0 if there is nothing to read, and less at the end of the stream and on an error. */
export function readAtOnce(descriptor: number, buffer: Buffer): number {
  // Node throws if there is nothing to read, as in more than half of all polls. Without a stack the error costs a third.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return readSync(descriptor, buffer, 0, SHARE_BYTES_MAX, null) || -1
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EAGAIN' ? 0 : -1
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}
