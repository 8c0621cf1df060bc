// Reads what a socket's descriptor has, without waiting for the runtime to say that there is something: how polled
// connections are read. Runs on a relay thread.

import { readSync } from 'node:fs'
import { NOTHING_TO_READ, type Native } from './native.ts'
import { SHARE_BYTES_MAX } from './read-state.ts'

/**
 * Returns the number of bytes: 0 if there is nothing to read, and less at the end of the stream and on an error.
 * @param native undefined where native calls do not work
 */
export function readAtOnce(native: Native | undefined, descriptor: number, buffer: Buffer): number {
  if (native === undefined) return readByNode(descriptor, buffer)
  const result = native.receive(descriptor, buffer, SHARE_BYTES_MAX)
  if (result > 0) return result
  return result === NOTHING_TO_READ ? 0 : -1
}

function readByNode(descriptor: number, buffer: Buffer): number {
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
