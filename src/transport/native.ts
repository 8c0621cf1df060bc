// System calls that Node does not offer, through koffi: socket options, who has connected, duplicates of descriptors, datagrams to a Unix socket.
// The only file that knows koffi. Linux on 64-bit little-endian machines.
//
// Contract: koffi is optional. `loadNative` tests each call before it returns them, and throws where they do not work; every
// user then has another way (docs/decisions/0012). The calls themselves never throw. As in the kernel, each returns a
// number of 0 or more, or a negative error number; `errorText` names it. Runs on any thread; each thread loads its own.

import { getSystemErrorName } from 'node:util'

/** A descriptor that no open file has: for sockets whose descriptor Node does not tell. Calls with it return EBADF. */
const NO_DESCRIPTOR = -1

const AF_UNIX = 1
const AF_INET = 2
const SOL_SOCKET = 1
const SO_PEERCRED = 17
const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const SOCK_NONBLOCK = 0o4000
const SOCK_CLOEXEC = 0o2000000
const IPPROTO_TCP = 6
const TCP_INFO = 11
const TCP_USER_TIMEOUT = 18
const TCP_NOTSENT_LOWAT = 25
const IPPROTO_UDP = 17
const UDP_SEGMENT = 103
const UDP_GRO = 104
const F_DUPFD_CLOEXEC = 1030
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
const MADV_DONTNEED = 4
const CLOCK_MONOTONIC = 1
/** Of `struct itimerspec`: two times of seconds and nanoseconds, 64 bits each; the second is until the timer fires. */
const TIMER_SPEC_BYTES = 32
const TIMER_SECONDS_AT = 16
const TIMER_NANOSECONDS_AT = 24
const EBADF = 9
const EAGAIN = 11
const ENAMETOOLONG = 36
const ENOSYS = 38
const ENOTCONN = 107

/** Standard streams have 0 to 2, and a duplicate must not become one of them. */
const DESCRIPTOR_MIN = 3
/** Of `struct sockaddr_un`: the family, then the path. */
const UNIX_PATH_AT = 2
const UNIX_PATH_BYTES_MAX = 108
/** Of `struct tcp_info`, in microseconds: the smoothed round trip, and the smallest of the last minutes, which may be missing. */
const TCP_INFO_RTT_AT = 68
const TCP_INFO_MIN_RTT_AT = 148
const TCP_INFO_BYTES = 152
const NO_MIN_RTT = 0xffff_ffff
/** `struct ucred`: process, user, group. */
const UCRED_USER_AT = 4
const UCRED_BYTES = 12

export interface Native {
  /**
   * How long data may stay unacknowledged, and probes unanswered, before the kernel ends the connection. Connections that a
   * listening socket accepts later inherit it.
   */
  setUserTimeout(descriptor: number, ms: number): number
  userTimeout(descriptor: number): number
  /** How much the kernel takes of what it cannot send yet; the rest waits in the process, which may drop it. */
  setUnsentLimit(descriptor: number, bytes: number): number
  /**
   * What is sent over a UDP socket from now on leaves in datagrams of so many bytes, the last of which may be shorter, up to 64 of them
   * in a call; 0: each call sends one. Since Linux 4.18.
   */
  setDatagramBytes(descriptor: number, bytes: number): number
  /** A UDP socket reads datagrams that were sent so as one, all in a read. Since Linux 5.0. */
  joinDatagrams(descriptor: number): number
  /**
   * The smallest round trip of a TCP connection within the last five minutes, in microseconds; 0 if none was measured. The
   * smoothed one has the time by which clients delay acknowledgements in it, up to 40 ms each.
   */
  roundTripUs(descriptor: number): number
  /** The user that has connected to a Unix socket, as it was at that moment. */
  peerUser(descriptor: number): number
  /** The process that has connected to a Unix socket; 0 for one of another container. */
  peerProcess(descriptor: number): number
  /** Another descriptor for the same open socket or file; closed on exec. */
  duplicate(descriptor: number): number
  /** Closes a descriptor that came from here. In a worker thread, Node's own `closeSync` warns of such. */
  close(descriptor: number): number
  /**
   * Gives memory that was freed back to the system. Holds the allocator's locks meanwhile. Returns 1 if there was some; ENOSYS where
   * the C library has no such call (musl, which gives it back by itself).
   */
  trimMemory(): number
  /**
   * Gives pages of a file back to the system, which reads them again when they are used. What was changed in them would be lost: only
   * for places that nobody can write to.
   */
  releasePages(address: number, bytes: number): number
  /**
   * Reads what a socket has, up to `bytesMax`, without waiting. 0 at the end of the stream; if there is nothing, `NOTHING_TO_READ`.
   * Node's own reads throw then, which takes several times as long.
   */
  receive(descriptor: number, buffer: Uint8Array, bytesMax: number): number
  /** A new timer's descriptor: it has eight bytes to read once the timer has fired. */
  makeTimer(): number
  /** The timer fires once, in so many microseconds. */
  startTimer(timer: number, us: number): number
  /** Sends one datagram to a Unix socket. A path that begins with `@` is of the abstract namespace. */
  sendDatagram(path: string, text: string): number
}

/** A socket that is open has nothing to read at the moment. */
export const NOTHING_TO_READ = -EAGAIN

/** The name of a negative error number, such as EAGAIN. */
export function errorText(result: number): string {
  return getSystemErrorName(result)
}

/** The descriptor of one of Node's sockets or servers; -1 if this version of Node does not tell, or it is closed. */
export function descriptorOf(socket: object): number {
  return (socket as { _handle?: { fd?: number } | null })._handle?.fd ?? NO_DESCRIPTOR
}

/** A function of C, as koffi calls it. Numbers are integers, also those that are addresses. */
export type NativeFunction = (...args: readonly (number | Uint8Array | BigUint64Array)[]) => number

/** The functions of the C library, as koffi calls them. */
interface Libc {
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, bytes: number): number
  getsockopt(fd: number, level: number, name: number, value: Uint8Array, bytes: Uint8Array): number
  fcntl(fd: number, command: number, type: 'int', argument: number): number
  socket(family: number, type: number, protocol: number): number
  close(fd: number): number
  sendto(
    ...args: [fd: number, bytes: Uint8Array, length: number, flags: number, to: Uint8Array, size: number]
  ): number
  recv(fd: number, bytes: Uint8Array, size: number, flags: number): number
  timerfd_create(clock: number, flags: number): number
  timerfd_settime(timer: number, flags: number, time: Uint8Array, before: null): number
  /** Undefined: the library does not have it. */
  malloc_trim: ((pad: number) => number) | undefined
  madvise(address: number, bytes: number, advice: number): number
  /** The error number of the last call of this thread. */
  errno(): number
}

let loading: Promise<Native> | undefined

/**
 * Loads and tests them once in each thread.
 *
 * @throws Error with its cause if koffi is not installed, does not load, or its calls do not work
 */
export async function loadNative(): Promise<Native> {
  return await (loading ??= testedNative())
}

async function testedNative(): Promise<Native> {
  const native = new LibcCalls(await loadLibc())
  native.test()
  return native
}

async function loadLibc(): Promise<Libc> {
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
    throw new Error(`not known for ${process.platform} on ${process.arch}`)
  }
  const { default: koffi } = await import('koffi')
  // The C library that Node itself uses, glibc or musl.
  const library = koffi.load(null)
  return {
    setsockopt: library.func('int setsockopt(int, int, int, void *, uint32_t)'),
    getsockopt: library.func('int getsockopt(int, int, int, void *, void *)'),
    fcntl: library.func('int fcntl(int, int, ...)'),
    socket: library.func('int socket(int, int, int)'),
    close: library.func('int close(int)'),
    sendto: library.func('intptr_t sendto(int, void *, size_t, int, void *, uint32_t)'),
    recv: library.func('intptr_t recv(int, void *, size_t, int)'),
    madvise: library.func('int madvise(uintptr_t, size_t, int)'),
    timerfd_create: library.func('int timerfd_create(int, int)'),
    timerfd_settime: library.func('int timerfd_settime(int, int, void *, void *)'),
    malloc_trim: optional(() => library.func('int malloc_trim(size_t)')),
    errno: () => koffi.errno(),
  }
}

/** Undefined if the library has no function of that name. */
function optional<Call>(find: () => Call): Call | undefined {
  try {
    return find()
  } catch {
    return undefined
  }
}

/**
 * Functions of this program and of the libraries that it is linked with, by their declarations in C. Each thread loads its own.
 *
 * @throws Error if koffi is not installed or does not load, or if a function is missing
 */
export async function loadFunctions<Name extends string>(
  declarations: Readonly<Record<Name, string>>,
): Promise<Record<Name, NativeFunction>> {
  const { default: koffi } = await import('koffi')
  const program = koffi.load(null)
  const functions: Partial<Record<Name, NativeFunction>> = {}
  for (const [name, declaration] of Object.entries<string>(declarations)) {
    functions[name as Name] = program.func(declaration) as NativeFunction
  }
  return functions as Record<Name, NativeFunction>
}

/** Where the bytes of a buffer lie. Only for buffers that are kept for as long as the address is. */
export async function addressOf(buffer: Buffer): Promise<number> {
  const { default: koffi } = await import('koffi')
  return Number(koffi.address(buffer))
}

class LibcCalls implements Native {
  readonly #libc: Libc
  readonly #value = Buffer.allocUnsafeSlow(TCP_INFO_BYTES)
  readonly #length = Buffer.allocUnsafeSlow(4)
  readonly #timerSpec = Buffer.alloc(TIMER_SPEC_BYTES)

  constructor(libc: Libc) {
    this.#libc = libc
  }

  setUserTimeout(descriptor: number, ms: number): number {
    this.#value.writeUInt32LE(ms, 0)
    return this.#result(this.#libc.setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, this.#value, 4))
  }

  setUnsentLimit(descriptor: number, bytes: number): number {
    this.#value.writeUInt32LE(bytes, 0)
    return this.#result(this.#libc.setsockopt(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, this.#value, 4))
  }

  setDatagramBytes(descriptor: number, bytes: number): number {
    this.#value.writeUInt32LE(bytes, 0)
    return this.#result(this.#libc.setsockopt(descriptor, IPPROTO_UDP, UDP_SEGMENT, this.#value, 4))
  }

  joinDatagrams(descriptor: number): number {
    this.#value.writeUInt32LE(1, 0)
    return this.#result(this.#libc.setsockopt(descriptor, IPPROTO_UDP, UDP_GRO, this.#value, 4))
  }

  userTimeout(descriptor: number): number {
    const result = this.#option(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, 4)
    return result < 0 ? result : this.#value.readUInt32LE(0)
  }

  roundTripUs(descriptor: number): number {
    const result = this.#option(descriptor, IPPROTO_TCP, TCP_INFO, TCP_INFO_BYTES)
    if (result < 0) return result
    const minUs = this.#value.readUInt32LE(TCP_INFO_MIN_RTT_AT)
    // Kernels before 4.9 do not have it.
    return minUs === 0 || minUs === NO_MIN_RTT ? this.#value.readUInt32LE(TCP_INFO_RTT_AT) : minUs
  }

  peerUser(descriptor: number): number {
    const result = this.#option(descriptor, SOL_SOCKET, SO_PEERCRED, UCRED_BYTES)
    return result < 0 ? result : this.#value.readUInt32LE(UCRED_USER_AT)
  }

  peerProcess(descriptor: number): number {
    const result = this.#option(descriptor, SOL_SOCKET, SO_PEERCRED, UCRED_BYTES)
    return result < 0 ? result : this.#value.readInt32LE(0)
  }

  duplicate(descriptor: number): number {
    return this.#result(this.#libc.fcntl(descriptor, F_DUPFD_CLOEXEC, 'int', DESCRIPTOR_MIN))
  }

  close(descriptor: number): number {
    return this.#result(this.#libc.close(descriptor))
  }

  makeTimer(): number {
    // Timers have the same flags as sockets.
    return this.#result(this.#libc.timerfd_create(CLOCK_MONOTONIC, SOCK_NONBLOCK | SOCK_CLOEXEC))
  }

  startTimer(timer: number, us: number): number {
    this.#timerSpec.writeUInt32LE(Math.floor(us / 1e6), TIMER_SECONDS_AT)
    this.#timerSpec.writeUInt32LE(Math.floor((us % 1e6) * 1_000), TIMER_NANOSECONDS_AT)
    return this.#result(this.#libc.timerfd_settime(timer, 0, this.#timerSpec, null))
  }

  receive(descriptor: number, buffer: Uint8Array, bytesMax: number): number {
    return this.#result(this.#libc.recv(descriptor, buffer, bytesMax, MSG_DONTWAIT))
  }

  trimMemory(): number {
    return this.#libc.malloc_trim?.(0) ?? -ENOSYS
  }

  releasePages(address: number, bytes: number): number {
    return this.#result(this.#libc.madvise(address, bytes, MADV_DONTNEED))
  }

  sendDatagram(path: string, text: string): number {
    const address = unixAddress(path)
    if (address === undefined) return -ENAMETOOLONG
    const socket = this.#result(this.#libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))
    if (socket < 0) return socket
    const bytes = Buffer.from(text)
    const sent = this.#libc.sendto(socket, bytes, bytes.length, MSG_NOSIGNAL, address, address.length)
    const result = this.#result(sent)
    this.close(socket)
    return result
  }

  /** @throws Error that names the call that does not work */
  test(): void {
    const socket = this.#result(this.#libc.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    if (socket < 0) throw new Error(`socket: ${errorText(socket)}`)
    const second = this.duplicate(socket)
    const timer = this.makeTimer()
    try {
      const limitMs = 12_345
      assertIs('duplicate a descriptor', Math.min(second, DESCRIPTOR_MIN), DESCRIPTOR_MIN)
      assertIs('set TCP_USER_TIMEOUT', this.setUserTimeout(socket, limitMs), 0)
      assertIs('read TCP_USER_TIMEOUT', this.userTimeout(second), limitMs)
      assertIs('read TCP_INFO', this.roundTripUs(socket), 0)
      assertIs('read a socket', this.receive(socket, this.#value, TCP_INFO_BYTES), -ENOTCONN)
      assertIs('start a timer', this.startTimer(timer, 1), 0)
      assertIs('report an error', this.userTimeout(NO_DESCRIPTOR), -EBADF)
    } finally {
      this.close(socket)
      if (second >= 0) this.close(second)
      if (timer >= 0) this.close(timer)
    }
  }

  /** Reads an option into `#value`, which holds zeros beyond what the kernel knows. */
  #option(descriptor: number, level: number, name: number, bytes: number): number {
    this.#value.fill(0)
    this.#length.writeUInt32LE(bytes, 0)
    return this.#result(this.#libc.getsockopt(descriptor, level, name, this.#value, this.#length))
  }

  #result(returned: number): number {
    return returned === -1 ? -this.#libc.errno() : returned
  }
}

/** `struct sockaddr_un`; undefined if the path is too long. A path is ended by a zero, an abstract name begins with one. */
function unixAddress(path: string): Buffer | undefined {
  const isAbstract = path.startsWith('@')
  const name = isAbstract ? `\0${path.slice(1)}` : `${path}\0`
  const address = Buffer.from(`\0\0${name}`)
  if (address.length - UNIX_PATH_AT > UNIX_PATH_BYTES_MAX) return undefined
  address.writeUInt16LE(AF_UNIX, 0)
  return address
}

function assertIs(what: string, result: number, expected: number): void {
  if (result === expected) return
  throw new Error(
    `cannot ${what}: ${result < 0 ? errorText(result) : `got ${result} instead of ${expected}`}`,
  )
}
