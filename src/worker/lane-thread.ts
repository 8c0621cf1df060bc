// The entry of the lane's thread: composes the relay's UDP port for WireGuard peers with its socket and its links to the relay threads,
// and obeys the control thread. A thread of its own: UDP costs several times what TLS does per byte, and a flood of it must not slow
// the relay's sessions. No logic beside the translation of messages.

import { randomBytes } from 'node:crypto'
import { parentPort, workerData, type MessagePort } from 'node:worker_threads'
import { ThreadLinks } from '#interthread/thread-links.ts'
import { LaneCounters } from '#lane/lane-counters.ts'
import { UdpPort } from '#lane/udp-port.ts'
import { WireguardLane } from '#lane/wireguard-lane.ts'
import { X25519Secret } from '#protocol/x25519.ts'
import { datagramCalls } from '#transport/datagram-calls.ts'
import { loadNative, type Native } from '#transport/native.ts'
import { later, now } from './clock.ts'
import type { FromLaneThread, LaneThreadData, ToLaneThread, WorkerStateMessage } from './thread-messages.ts'
import { takeRelayPriority } from './thread-priority.ts'

const SWEEP_MS = 1_000
/** How soon a turn is ended again while something waits for room at a relay thread. */
const RETRY_MS = 1
/** The state is sent so soon after a change; and not more often than ten times as long as making it takes. */
const STATE_MS = 100
const STATE_SHARE = 10

class LaneThread {
  readonly #port: MessagePort
  readonly #counters: LaneCounters
  readonly #links: ThreadLinks
  readonly #lane: WireguardLane
  readonly #udp: UdpPort
  readonly #sweeper: NodeJS.Timeout
  #isTurnEnding = false
  #isStateComing = false
  #stateMs = STATE_MS

  /** @param native undefined without koffi: each datagram has a call of its own */
  constructor(data: LaneThreadData, port: MessagePort, native: Native | undefined) {
    this.#port = port
    const counters = new LaneCounters(data.counters)
    this.#counters = counters
    this.#links = new ThreadLinks(data.threads, now)
    const secret = new X25519Secret(data.privateKey)
    this.#udp = new UdpPort({
      host: data.host,
      port: data.port,
      receive: (message, host, from) => this.#lane.receive(message, host, from),
      onFull: () => counters.add('dropSendQueue'),
      onError: () => counters.add('dropSendError'),
      divider: (socket) => native && datagramCalls(socket, native),
    })
    this.#lane = new WireguardLane({
      own: { secret, publicKey: secret.publicKey },
      counters,
      threads: this.#links,
      send: (message, host, to) => this.#udp.send(message, host, to),
      now,
      wallMs: Date.now,
      random: (bytes) => randomBytes(bytes),
      later,
      endTurnLater: () => this.#endTurnLater(),
      onChange: () => this.#sendStateLater(),
      onHome: (key, isHome) => this.#send({ kind: 'laneHome', key, isHome }),
    })
    this.#lane.useRoster(data.roster)
    for (const [key, forMs] of data.refused) this.#lane.refuse(key, forMs)
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS)
    port.on('message', (message: ToLaneThread) => this.#onMessage(message))
    void this.#links.readWhenWoken()
    process.on('uncaughtException', (error) => this.#onFault(error))
    // Node's own listener would print warnings between the lines of the log, in another format.
    process.removeAllListeners('warning').on('warning', ({ name, message }) => {
      this.#send({ kind: 'runtimeWarning', name, text: message })
    })
  }

  async listen(state: string): Promise<void> {
    try {
      const port = await this.#udp.bind()
      this.#lane.restore(state)
      this.#sweep()
      this.#send({ kind: 'listening', port })
    } catch (error) {
      const { code = '', message } = error as NodeJS.ErrnoException
      this.#send({ kind: 'listenFailed', code, message })
      this.#port.close()
      clearInterval(this.#sweeper)
    }
  }

  #onMessage(message: ToLaneThread): void {
    switch (message.kind) {
      case 'roster':
        return this.#lane.useRoster(message.roster)
      case 'threadStarted':
        this.#links.link(message.link)
        return this.#links.startSync(message.link.thread)
      case 'threadEnded':
        return this.#links.threadEnded(message.thread)
      case 'endKey':
        return this.#lane.refuse(message.key, message.forMs)
      case 'tellMembers':
        return this.#tellMembers(message.id)
      case 'stop':
        return this.#stop()
    }
  }

  #tellMembers(id: number): void {
    const nowMs = now()
    const members = this.#lane.members.map(({ key, name, address, provenAtMs, elsewhere, links }) => ({
      key,
      name,
      address,
      provenMs: nowMs - provenAtMs,
      isElsewhere: elsewhere !== undefined,
      links: links.size,
    }))
    this.#send({ kind: 'laneMembers', id, members })
  }

  #stop(): void {
    clearInterval(this.#sweeper)
    this.#udp.close()
    this.#send({ kind: 'laneState', text: this.#lane.stateText() })
    this.#send({ kind: 'stopped' })
    this.#port.close()
  }

  #sweep(): void {
    this.#counters.countSweep()
    this.#lane.sweep()
  }

  #endTurnLater(): void {
    if (this.#isTurnEnding) return
    this.#isTurnEnding = true
    setImmediate(() => this.#endTurn())
  }

  #endTurn(): void {
    this.#lane.readThreads()
    this.#isTurnEnding = false
    if (this.#lane.endTurn()) setTimeout(() => this.#endTurnLater(), RETRY_MS)
  }

  #sendStateLater(): void {
    if (this.#isStateComing) return
    this.#isStateComing = true
    setTimeout(() => {
      this.#isStateComing = false
      const beganMs = now()
      this.#send({ kind: 'laneState', text: this.#lane.stateText() })
      this.#stateMs = Math.max(STATE_MS, STATE_SHARE * (now() - beganMs))
    }, this.#stateMs).unref()
  }

  /** An uncaught exception is a fault of the program: this thread ends and another one is started in its place. */
  #onFault(error: Error): void {
    this.#send({ kind: 'fault', text: error.stack ?? error.message })
    process.exit(1)
  }

  #send(message: FromLaneThread | WorkerStateMessage): void {
    this.#port.postMessage(message)
  }
}

if (parentPort === null) throw new Error('lane-thread.ts is the entry of a worker thread')
const data = workerData as LaneThreadData
takeRelayPriority(data.niceness)
const native = await loadNative().catch(() => undefined)
void new LaneThread(data, parentPort, native).listen(data.state)
