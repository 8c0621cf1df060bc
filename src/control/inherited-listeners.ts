// Which listener each inherited socket is for, and whether that agrees with the settings. A socket says by its name what it
// is for (`derp`, `http`, `stun`, `admin`); one with any other name is matched by protocol and port. A relay that listened
// on only some of the sockets would leave clients waiting in the others, so what does not fit prevents the start. Runs on
// the control thread.

import { endpointText, isEveryAddress, type Endpoint } from '#config/endpoint.ts'
import type { Settings } from '#config/settings.ts'
import type { InheritedSocket, InheritedSockets } from '#transport/inherited-sockets.ts'
import type { Native } from '#transport/native.ts'

const LISTENERS = {
  derp: { title: 'DERP', kind: 'tcp', flag: '-a' },
  http: { title: 'HTTP', kind: 'tcp', flag: '-http-port' },
  stun: { title: 'STUN', kind: 'udp', flag: '-stun-port' },
  admin: { title: 'admin', kind: 'tcp', flag: '-admin' },
} as const
export type ListenerName = keyof typeof LISTENERS
const NAMES = Object.keys(LISTENERS) as ListenerName[]

/** The sockets of each listener; empty: it opens its own. */
export type InheritedListeners = Readonly<Record<ListenerName, readonly InheritedSocket[]>>

export interface Adoption {
  /** With the addresses of the inherited sockets, and with as many threads as can listen on them. */
  readonly settings: Settings
  readonly listeners: InheritedListeners
  /** Undefined if nothing had to change. */
  readonly warning: string | undefined
}

/**
 * Assigns every socket to a listener.
 *
 * @throws Error that names every problem
 */
export function adoptSockets(
  settings: Settings,
  { sockets, problems }: InheritedSockets,
  native: Native | undefined,
): Adoption {
  const found = [...problems]
  const byListener: Record<ListenerName, InheritedSocket[]> = { derp: [], http: [], stun: [], admin: [] }
  for (const socket of sockets) {
    const name = listenerOf(socket, settings)
    const problem = name === undefined ? unwanted(socket, settings) : mismatch(socket, name, settings)
    if (problem !== undefined) found.push(problem)
    else if (name !== undefined) byListener[name].push(socket)
  }
  for (const name of ['http', 'admin'] as const) {
    const count = byListener[name].length
    if (count > 1) found.push(`${count} inherited sockets are for ${LISTENERS[name].title}, expected one`)
  }
  const derpCount = byListener.derp.length
  if (derpCount > settings.threadCount) {
    const expected = `at most one for each of the ${settings.threadCount} threads (-threads)`
    found.push(`${derpCount} inherited sockets are for DERP, expected ${expected}`)
  }
  if (found.length > 0) throw new Error(`the inherited sockets do not fit: ${found.join('; ')}`)
  const isShort = native === undefined && derpCount > 0 && derpCount < settings.threadCount
  return {
    settings: { ...settings, ...addressesOf(byListener), ...(isShort ? { threadCount: derpCount } : {}) },
    listeners: byListener,
    warning: isShort ? shortWarning(derpCount, settings.threadCount) : undefined,
  }
}

function listenerOf(socket: InheritedSocket, settings: Settings): ListenerName | undefined {
  const named = NAMES.find((name) => name === socket.name)
  if (named !== undefined) return named
  return NAMES.find((name) => LISTENERS[name].kind === socket.kind && settings[name]?.port === socket.port)
}

function unwanted(socket: InheritedSocket, settings: Settings): string {
  const open = NAMES.filter((name) => LISTENERS[name].kind === socket.kind && settings[name] !== undefined)
  const expected = open.map((name) => `${LISTENERS[name].title} on port ${settings[name]?.port}`)
  return `${socketText(socket)} is for no listener of this relay, expected ${expected.join(', ') || 'none'}`
}

/** What the socket and the option say differently; undefined if they agree. */
function mismatch(socket: InheritedSocket, name: ListenerName, settings: Settings): string | undefined {
  const { title, kind, flag } = LISTENERS[name]
  const wanted = settings[name]
  if (kind !== socket.kind) return `${socketText(socket)} is for ${title}, which needs ${kind}`
  if (wanted === undefined) return `${socketText(socket)} is for ${title}, which the options switch off`
  const isSamePort = wanted.port === 0 || wanted.port === socket.port
  const isSameHost = isEveryAddress(wanted.host) || wanted.host === socket.host
  if (isSamePort && isSameHost) return undefined
  return `${socketText(socket)} is for ${title}, but ${flag} says ${endpointText(wanted)}; change one of them`
}

function socketText(socket: InheritedSocket): string {
  const { descriptor, kind, name } = socket
  const isNamed = name === '' ? '' : ` "${name}"`
  return `socket ${descriptor}${isNamed} (${kind} ${endpointText(socket)})`
}

function addressesOf(sockets: Readonly<Record<ListenerName, readonly InheritedSocket[]>>): Partial<Settings> {
  const addresses: Partial<Record<ListenerName, Endpoint>> = {}
  for (const name of NAMES) {
    const [first] = sockets[name]
    if (first !== undefined) addresses[name] = { host: first.host, port: first.port }
  }
  return addresses
}

function shortWarning(sockets: number, threads: number): string {
  return `${threads} relay threads cannot share ${sockets} inherited DERP ${sockets === 1 ? 'socket' : 'sockets'} without native calls, so there are ${sockets} now; install koffi, or hand over a socket for each thread (ReusePort=yes)`
}

/**
 * The sockets of one listener, as its threads get them. Each can be listened on as often as need be if it is duplicated,
 * which takes native calls. Without, the thread that listens on a socket closes it at its end, so it is handed out once:
 * later, its number may be that of another file.
 */
export class InheritedDescriptors {
  readonly #native: Native | undefined
  readonly #taken = new Set<number>()
  #sockets: readonly InheritedSocket[]

  constructor(sockets: readonly InheritedSocket[], native: Native | undefined) {
    this.#sockets = sockets
    this.#native = native
  }

  /** For the thread of that number; undefined if there are none, or the thread's one is closed. */
  take(thread: number): InheritedSocket | undefined {
    const socket = this.#sockets[thread % this.#sockets.length]
    if (socket === undefined || this.#taken.has(socket.descriptor)) return undefined
    if (this.#native === undefined) this.#taken.add(socket.descriptor)
    return socket
  }

  /** When the threads have closed theirs too, connections are refused, unless another process holds the sockets open. */
  close(): void {
    for (const { descriptor } of this.#sockets) this.#native?.close(descriptor)
    this.#sockets = []
  }
}
