// How a stream between two runs of one relay has ended: in order, or by a fault. Not how the runs say so to each other.

/**
 * Whether the other side has closed the stream, which is an end in order. The system calls it an error if something was still on
 * its way to that side.
 */
export function isClosing(error: NodeJS.ErrnoException): boolean {
  return error.code === 'ECONNRESET' || error.code === 'EPIPE'
}
