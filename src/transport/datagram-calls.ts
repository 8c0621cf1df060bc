// A UDP socket of Node that sends and reads many datagrams in one call: the kernel takes them as one and divides it, or joins them.
// Node has neither these options nor a pause for such sockets, so the latter is its handle's, which is no public interface.
//
// Contract: undefined where Node's handle or the kernel does not have it; then the socket is as before.

import type { Socket } from 'node:dgram'
import type { DatagramCalls } from '#protocol/datagram-calls.ts'
import type { Native } from './native.ts'

/** Node's handle of a UDP socket. Methods return 0 or a negative error number. */
interface DatagramHandle {
  readonly fd: number
  recvStart(): number
  recvStop(): number
}

/** Of the symbol under which Node keeps the handle. */
const STATE = 'state symbol'

/** @param socket bound */
export function datagramCalls(
  socket: Socket,
  native: Pick<Native, 'joinDatagrams' | 'setDatagramBytes'>,
): DatagramCalls | undefined {
  const handle = handleOf(socket)
  if (handle === undefined) return undefined
  const { fd } = handle
  // Changes nothing: it asks whether the kernel knows the option.
  if (native.setDatagramBytes(fd, 0) < 0) return undefined
  return {
    setDatagramBytes: (bytes) => native.setDatagramBytes(fd, bytes) >= 0,
    joinDatagrams: () => native.joinDatagrams(fd) >= 0,
    pause: () => void handle.recvStop(),
    resume: () => void handle.recvStart(),
  }
}

function handleOf(socket: Socket): DatagramHandle | undefined {
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === STATE)
  if (symbol === undefined) return undefined
  const state = (
    socket as unknown as Record<symbol, { handle?: Partial<DatagramHandle> | null } | undefined>
  )[symbol]
  const { fd = -1, recvStart, recvStop } = state?.handle ?? {}
  const isUsable = fd >= 0 && typeof recvStart === 'function' && typeof recvStop === 'function'
  return isUsable ? (state?.handle as DatagramHandle) : undefined
}
