// The direct way to one peer's bridge over UDP: which of its addresses answers, what size passes, and whether a packet takes that
// way, the relay, or both. Decides only; direct-side.ts sends. Time is passed in.
//
// Both bridges send pings to all addresses of the other one, each from the socket that its packets would take, so that the NATs on
// both sides let answers in. An address that answers is tried once more while all packets of the VPN are held back: an answer
// that has come through the VPN itself does not come then. Sizes are tried by padded pings. What is larger than
// the largest that was answered takes the relay.
//
// While a ping is unanswered, packets take both ways, since VPNs drop what comes twice. The direct way is left when two
// witnesses agree: pings are not answered, and the other bridge, asked over the relay, says that none arrive. Where it says
// nothing, silence must last longer.

/** Which way a packet takes; `hold`: wait, the answer is near. */
export type PacketWay = 'relay' | 'direct' | 'both' | 'hold'

export interface DirectPathOwner {
  ping(to: string, id: number, bytes: number): void
  /** Asks the other bridge, over the relay, whether it hears this one. */
  askFar(): void
  /** Differs from all before, and cannot be guessed. */
  newId(): number
  /** The size that must pass if the way is to be of use; 0: any is. */
  readonly neededBytes: number
  changed(text: string): void
}

const PUNCH_MS = 10_000
const PUNCH_EVERY_MS = { first: 250, firstMs: 2_500, later: 1_000 }
/** Besides those of an offer: where the other bridge was seen to come from. */
const REFLEXIVE_MAX = 4
/** An address whose answer came through the tunnel, or was an accident. */
const REFUSED_MS = 60_000
const TRIAL_MS = { min: 250, max: 600 }
/** A ping without padding is shorter, and so is most of what VPNs send by themselves. */
export const SMALL_BYTES = 256
/** Sizes that common ways let through, of UDP's payload: the last is that of Ethernet. */
const LADDER = [1_200, 1_280, 1_352, 1_392, 1_432, 1_452, 1_472] as const
/** Larger packets take the relay, which has no such limit. */
export const PROBE_BYTES_MAX = 9_000
const SIZE_TRIES = 3
const SIZE_TRY_EVERY_MS = 300
/** Between looks for a larger size, when there are larger packets. */
const SIZE_ROUND_EVERY_MS = 30_000
const PING_EVERY_MS = { busy: 500, idle: 10_000 }
const BUSY_MS = 10_000
/** Packets take both ways on a new path for so long, and after silence. */
const NEW_MS = 1_000
const STALE_MS = 2_000
const DOUBT_MS = 300
const ASK_EVERY_MS = 1_000
const LEAVE_MS = { agreed: 2_000, alone: 5_000 }
const PING_MS_MAX = 5_000
/** The other bridge has heard this one so lately that the way there lives. */
const FAR_HEARS_MS = 1_500

interface Candidate {
  readonly isReflexive: boolean
  refusedUntilMs: number
}

interface Ping {
  readonly to: string
  readonly bytes: number
  readonly sentMs: number
}

interface Answers {
  pongMs: number
  /** The first ping after the last answer. */
  unansweredMs: number | undefined
}

interface Path {
  readonly to: string
  readonly sinceMs: number
  rttMs: number
  bytesMax: number
  readonly small: Answers
  readonly large: Answers
  pingedMs: number
  /** The last packet of the VPN. */
  usedMs: number
  askedMs: number
  isFarDeaf: boolean
  sizes: { readonly pending: Set<number>; tries: number; nextMs: number; readonly atMs: number }
  wantedBytes: number
}

export class DirectPath {
  readonly #owner: DirectPathOwner
  readonly #candidates = new Map<string, Candidate>()
  readonly #pings = new Map<number, Ping>()
  #path: Path | undefined
  #trial: { readonly to: string; readonly startMs: number; readonly endMs: number } | undefined
  #punch = { startMs: Number.NEGATIVE_INFINITY, nextMs: 0 }

  constructor(owner: DirectPathOwner) {
    this.#owner = owner
  }

  /** The address that packets go to, and the largest that pass. */
  get path(): { readonly to: string; readonly bytesMax: number; readonly rttMs: number } | undefined {
    return this.#path
  }

  get isHolding(): boolean {
    return this.#trial !== undefined
  }

  isPunching(nowMs: number): boolean {
    return nowMs - this.#punch.startMs < PUNCH_MS
  }

  /** Where the other bridge says that it is: pings go there for a while. */
  offer(addresses: readonly string[], nowMs: number): void {
    for (const [address, { isReflexive, refusedUntilMs }] of this.#candidates) {
      if (!isReflexive && refusedUntilMs < nowMs) this.#candidates.delete(address)
    }
    for (const address of addresses) this.#add(address, false)
    this.#punch = { startMs: nowMs, nextMs: nowMs }
  }

  /** The other bridge was heard from this address, which it need not know itself. */
  heard(from: string, nowMs: number): void {
    if (this.#path !== undefined || !this.isPunching(nowMs) || this.#candidates.has(from)) return
    const reflexive = [...this.#candidates].filter(([, { isReflexive }]) => isReflexive)
    if (reflexive.length >= REFLEXIVE_MAX) this.#candidates.delete(reflexive[0]?.[0] ?? '')
    this.#add(from, true)
    this.#ping(from, 0, nowMs)
  }

  /** To be called about every 100 ms. */
  tick(nowMs: number): void {
    for (const [id, { sentMs }] of this.#pings) if (nowMs - sentMs > PING_MS_MAX) this.#pings.delete(id)
    if (this.#trial !== undefined) this.#tickTrial(this.#trial, nowMs)
    else if (this.#path !== undefined) this.#tickPath(this.#path, nowMs)
    else this.#tickPunch(nowMs)
  }

  pong(id: number, from: string, nowMs: number): void {
    const ping = this.#pings.get(id)
    if (ping === undefined || ping.to !== from) return
    this.#pings.delete(id)
    const rttMs = nowMs - ping.sentMs
    if (this.#path !== undefined) return this.#notePong(this.#path, ping, rttMs, nowMs)
    if (this.#trial === undefined) return this.#beginTrial(from, rttMs, nowMs)
    if (this.#trial.to === from && ping.sentMs >= this.#trial.startMs) this.#confirm(from, rttMs, nowMs)
  }

  /** What the other bridge says: for how long it has not heard this one over UDP. */
  hearFar(silentMs: number | undefined): void {
    const path = this.#path
    if (path === undefined) return
    path.isFarDeaf = silentMs === undefined || silentMs > FAR_HEARS_MS
    // What is sent arrives; only the answers get lost.
    if (!path.isFarDeaf) path.small.unansweredMs = path.large.unansweredMs = undefined
  }

  wayOf(bytes: number, nowMs: number): PacketWay {
    if (this.#trial !== undefined) return 'hold'
    const path = this.#path
    if (path === undefined) return 'relay'
    path.usedMs = nowMs
    if (bytes > path.bytesMax) {
      if (bytes <= PROBE_BYTES_MAX) path.wantedBytes = Math.max(path.wantedBytes, bytes)
      return 'relay'
    }
    const { pongMs, unansweredMs = nowMs } = bytes > SMALL_BYTES ? path.large : path.small
    const isNew = nowMs - path.sinceMs < NEW_MS
    const isDoubtful = nowMs - unansweredMs > DOUBT_MS + 2 * path.rttMs || nowMs - pongMs > STALE_MS
    return isNew || isDoubtful ? 'both' : 'direct'
  }

  /** Packets take the direct way without being asked about here. */
  used(nowMs: number): void {
    if (this.#path !== undefined) this.#path.usedMs = nowMs
  }

  /** The other bridge has started anew, or is gone: its socket is another one. */
  drop(reason: string): void {
    if (this.#path !== undefined) this.#owner.changed(reason)
    this.#path = undefined
    this.#trial = undefined
    this.#pings.clear()
  }

  #add(address: string, isReflexive: boolean): void {
    if (!this.#candidates.has(address)) {
      this.#candidates.set(address, { isReflexive, refusedUntilMs: Number.NEGATIVE_INFINITY })
    }
  }

  #ping(to: string, bytes: number, nowMs: number): void {
    const id = this.#owner.newId()
    this.#pings.set(id, { to, bytes, sentMs: nowMs })
    this.#owner.ping(to, id, bytes)
  }

  #tickPunch(nowMs: number): void {
    if (!this.isPunching(nowMs) || nowMs < this.#punch.nextMs) return
    const { first, firstMs, later } = PUNCH_EVERY_MS
    this.#punch.nextMs = nowMs + (nowMs - this.#punch.startMs < firstMs ? first : later)
    for (const [to, { refusedUntilMs }] of this.#candidates) {
      if (refusedUntilMs < nowMs) this.#ping(to, 0, nowMs)
    }
  }

  #beginTrial(to: string, rttMs: number, nowMs: number): void {
    if ((this.#candidates.get(to)?.refusedUntilMs ?? Number.POSITIVE_INFINITY) >= nowMs) return
    const ms = Math.min(Math.max(TRIAL_MS.min, 3 * rttMs), TRIAL_MS.max)
    this.#trial = { to, startMs: nowMs, endMs: nowMs + ms }
    this.#ping(to, 0, nowMs)
  }

  #tickTrial({ to, endMs }: { readonly to: string; readonly endMs: number }, nowMs: number): void {
    if (nowMs < endMs) return this.#ping(to, 0, nowMs)
    const candidate = this.#candidates.get(to)
    if (candidate !== undefined) candidate.refusedUntilMs = nowMs + REFUSED_MS
    this.#trial = undefined
  }

  #confirm(to: string, rttMs: number, nowMs: number): void {
    this.#trial = undefined
    const answers = (): Answers => ({ pongMs: nowMs, unansweredMs: undefined })
    this.#path = {
      to,
      sinceMs: nowMs,
      rttMs,
      bytesMax: SMALL_BYTES,
      small: answers(),
      large: answers(),
      pingedMs: nowMs,
      usedMs: nowMs,
      askedMs: nowMs,
      isFarDeaf: false,
      sizes: newSizes(nowMs, this.#owner.neededBytes),
      wantedBytes: 0,
    }
    this.#owner.changed(`${to} answers over UDP`)
    this.#tickPath(this.#path, nowMs)
  }

  #notePong(path: Path, { to, bytes }: Ping, rttMs: number, nowMs: number): void {
    if (path.to !== to) return
    path.rttMs += (rttMs - path.rttMs) / 4
    path.isFarDeaf = false
    path.sizes.pending.delete(bytes)
    if (bytes <= SMALL_BYTES) Object.assign(path.small, { pongMs: nowMs, unansweredMs: undefined })
    else if (bytes >= path.bytesMax) {
      path.bytesMax = bytes
      Object.assign(path.large, { pongMs: nowMs, unansweredMs: undefined })
    }
  }

  #tickPath(path: Path, nowMs: number): void {
    this.#trySizes(path, nowMs)
    const everyMs = nowMs - path.usedMs < BUSY_MS ? PING_EVERY_MS.busy : PING_EVERY_MS.idle
    if (nowMs - path.pingedMs >= everyMs) {
      path.pingedMs = nowMs
      path.small.unansweredMs ??= nowMs
      this.#ping(path.to, 0, nowMs)
      if (path.bytesMax > SMALL_BYTES) {
        path.large.unansweredMs ??= nowMs
        this.#ping(path.to, path.bytesMax, nowMs)
      }
    }
    const silentMs = nowMs - (path.small.unansweredMs ?? nowMs)
    if (silentMs > DOUBT_MS && nowMs - path.askedMs >= ASK_EVERY_MS) {
      path.askedMs = nowMs
      this.#owner.askFar()
    }
    if (silentMs > (path.isFarDeaf ? LEAVE_MS.agreed : LEAVE_MS.alone))
      return this.drop(`no answer from ${path.to} over UDP`)
    const largeMs = nowMs - (path.large.unansweredMs ?? nowMs)
    if (largeMs > LEAVE_MS.agreed && silentMs < LEAVE_MS.agreed / 2) this.#shrink(path, nowMs)
  }

  /** Small pings are answered and large ones are not: the way has become narrower. */
  #shrink(path: Path, nowMs: number): void {
    path.bytesMax = SMALL_BYTES
    path.large.unansweredMs = undefined
    path.sizes = newSizes(nowMs, this.#owner.neededBytes)
  }

  #trySizes(path: Path, nowMs: number): void {
    const isWanted = path.wantedBytes > path.bytesMax
    if (isWanted && path.sizes.pending.size === 0 && nowMs - path.sizes.atMs > SIZE_ROUND_EVERY_MS) {
      path.sizes = newSizes(nowMs, path.wantedBytes)
    }
    const { sizes } = path
    if (sizes.pending.size === 0 || nowMs < sizes.nextMs) return
    for (const bytes of sizes.pending) {
      if (bytes <= path.bytesMax) sizes.pending.delete(bytes)
      else this.#ping(path.to, bytes, nowMs)
    }
    sizes.nextMs = nowMs + SIZE_TRY_EVERY_MS
    if (++sizes.tries >= SIZE_TRIES) sizes.pending.clear()
  }
}

function newSizes(nowMs: number, wantedBytes: number): Path['sizes'] {
  const pending = new Set<number>([...LADDER, ...(wantedBytes > 0 ? [wantedBytes] : [])])
  return { pending, tries: 0, nextMs: nowMs, atMs: nowMs }
}
