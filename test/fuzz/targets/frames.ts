// Frames, as relay and clients read them: the reader, logins, boxes, notices.

import { readKick, writeKick, type Kick } from '#fleet/kick.ts'
import { readLook, writeLook, type Look } from '#fleet/look.ts'
import { readRelayState, writeRelayState } from '#fleet/relay-state.ts'
import { BoxSecret } from '#protocol/box.ts'
import { BufferPool } from '#protocol/buffer-pool.ts'
import { FrameReader, FrameAction } from '#protocol/frame-reader.ts'
import { peerPresentFrame, readPeerGone, readPeerPresent, readRestarting } from '#protocol/frames.ts'
import {
  clientInfoFrame,
  openClientInfo,
  openServerInfo,
  parseClientInfo,
  readClientKey,
  readServerKey,
} from '#protocol/handshake.ts'
import { ProtocolError } from '#protocol/protocol-error.ts'
import { feedAll, RecordingSink, type Treat } from '../../protocol/recording-sink.ts'
import { messageOf } from '../../support/relay-states.ts'
import { disco, frames } from '../../vectors/frames.ts'
import * as keys from '../../vectors/keys.ts'
import * as login from '../../vectors/login.ts'
import { pieces } from '../random.ts'
import { magnitude, invariant, same, texts, type FuzzTarget } from '../target.ts'

const ERRORS: readonly unknown[] = Object.values(ProtocolError)
const stream = [login.serverKeyFrame, login.clientInfo.frame, disco.sendPacket, ...Object.values(frames)]
const box = new BoxSecret(keys.server.privateKey).agree(keys.clientA.publicKey)
if (box === undefined) throw new Error('the vectors have no shared key')
const nonce = Buffer.alloc(24, 9)

function eventsOf(chunks: readonly Buffer[], treat: Treat): { events: readonly string[]; pool: BufferPool } {
  const pool = new BufferPool()
  const sink = new RecordingSink(treat)
  const reader = new FrameReader(sink, pool)
  feedAll(reader, sink, chunks)
  const rented = pool.lentBytes
  const fed = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  // The pool's smallest buffer has 2 KiB; each class is four times the previous one.
  invariant(rented <= 2_048 + 4 * fed, `the reader has rented ${rented} bytes for ${fed}`)
  reader.close()
  invariant(pool.lentBytes === 0, 'a closed reader has buffers')
  return { events: sink.events, pool }
}

const frameReader: FuzzTarget = {
  name: 'frame-reader',
  corpus: [Buffer.concat(stream), ...stream],
  attempt(input, random) {
    const kind = random.below(1_000)
    // Most frames are accepted. The action depends only on the frame, so it is the same for any split.
    const treat: Treat = (at, payloadBytes) => ({
      action:
        payloadBytes > 200_000
          ? FrameAction.reject
          : (at + kind) % 5 === 0
            ? FrameAction.skip
            : FrameAction.accept,
      continues: (at + kind) % 7 !== 0,
    })
    const whole = eventsOf([Buffer.from(input)], treat)
    const cut = eventsOf(pieces(Buffer.from(input), random.cuts(input.length)), treat)
    same(cut.events, whole.events, 'a split stream')
    return `${whole.events.length} ${whole.events.map((event) => event.split(' ')[1]).join()}`
  },
}

/** What is read is written as a client does, and must be read alike again. */
const clientInfo: FuzzTarget = {
  name: 'client-info',
  corpus: texts(
    login.clientInfo.json,
    '{}',
    'null',
    '{"meshKey":"' + '0a'.repeat(32) + '","version":2,"CanAckPings":true,"IsProber":true,"AppName":"a b"}',
    '{"WatchHomesOnly":true,"VERSION":2,"appname":""}',
  ),
  tokens: [
    '"meshKey":',
    '"version":',
    '"CanAckPings":',
    '"IsProber":',
    '"AppName":',
    '"WatchHomesOnly":',
    'null',
    '1.5',
  ],
  attempt(input) {
    const info = parseClientInfo(input.toString('utf8'))
    if (typeof info === 'string') {
      invariant(ERRORS.includes(info), `an unknown error: ${info}`)
      return info
    }
    const frame = clientInfoFrame(keys.clientA.publicKey, info, box, nonce)
    same(openClientInfo(frame.subarray(5), box), info, 'ClientInfo')
    return Object.values(info)
      .map((field) => `${typeof field}${field === false}`)
      .join()
  },
}

/** Whole payloads as the relay gets them: a sealed box opens, a changed one does not. */
const sealed: FuzzTarget = {
  name: 'sealed-box',
  corpus: [
    login.clientInfo.frame.subarray(5),
    login.serverInfo.frame.subarray(5),
    Buffer.alloc(56),
    Buffer.alloc(32, 1),
  ],
  attempt(input) {
    const key = readClientKey(input)
    invariant(typeof key !== 'string' || ERRORS.includes(key), 'an unknown error')
    const agreed = typeof key === 'string' ? box : (new BoxSecret(keys.server.privateKey).agree(key) ?? box)
    const info = openClientInfo(input, agreed)
    openServerInfo(input, agreed)
    const again = box.seal(nonce, input)
    same(box.open(again), new Uint8Array(input), 'a sealed box')
    const at = again.length - 1 - (input.length % (again.length - 1))
    again[at] = (again[at] ?? 0) ^ 1
    invariant(box.open(again) === undefined, `a box opens with byte ${at} changed`)
    return `${typeof key} ${typeof info === 'string' ? info : 'opened'}`
  },
}

const serverInfo: FuzzTarget = {
  name: 'server-info',
  corpus: texts(
    '{"version":2}',
    '{"TokenBucketBytesPerSecond":1000,"TokenBucketBytesBurst":5}',
    'null',
    '[]',
  ),
  tokens: ['"version":', '"tokenBucketBytesPerSecond":', '"TokenBucketBytesBurst":'],
  attempt(input) {
    const info = openServerInfo(box.seal(nonce, input), box)
    if (info === undefined) return 'refused'
    const { version, tokenBucketBytesPerSecond: rate, tokenBucketBytesBurst: burst, instance } = info
    for (const value of [version, rate, burst])
      invariant(typeof value === 'number', 'a limit that is no number')
    invariant(instance === undefined || instance.length <= 64, 'a name that is too long')
    return `${[version, rate, burst].map((value) => Math.sign(value)).join()} ${instance === undefined}`
  },
}

const notices: FuzzTarget = {
  name: 'notices',
  corpus: [login.serverKeyFrame.subarray(5), ...Object.values(frames).map((frame) => frame.subarray(5))],
  attempt(input) {
    const present = readPeerPresent(input)
    if (present !== undefined)
      same(readPeerPresent(peerPresentFrame(present).subarray(5)), present, 'PeerPresent')
    const gone = readPeerGone(input)
    invariant(gone === undefined || gone.key.length === 32, 'PeerGone without a key')
    const restarting = readRestarting(input)
    invariant(restarting === undefined || restarting.tryForMs >= 0, 'Restarting before now')
    const key = readServerKey(input)
    invariant(key === undefined || key.length === 32, 'ServerKey without a key')
    return `${present?.appName?.length} ${gone?.reason} ${restarting === undefined} ${key === undefined} ${magnitude(input.length)}`
  },
}

const relayState: FuzzTarget = {
  name: 'relay-state',
  corpus: [
    messageOf('900a'),
    ...texts(
      '{"look":"ask","id":"1"}',
      '{"look":"answer","id":"1","nowMs":1,"ports":[{"node":"900a","kind":"derp","family":4,"result":"ok"}]}',
    ),
    ...texts(
      `{"kick":"ask","id":"1","key":"nodekey:${'ab'.repeat(32)}","seconds":600}`,
      `{"kick":"deny","id":"1","key":"nodekey:${'ab'.repeat(32)}","seconds":600,"reason":"ticket 7"}`,
      `{"kick":"allow","id":"1","key":"nodekey:${'ab'.repeat(32)}"}`,
      '{"kick":"answer","id":"1","ended":2,"refusal":"it takes no kicks from this relay"}',
    ),
    ...texts('{"format":1}', '{"format":2,"health":{"state":"ready"}}', '[]', 'null'),
  ],
  tokens: [
    '"format":1',
    '"health":{"state":"',
    '"draining"',
    '"links":[{"to":"',
    '"nodes":["',
    '1e999',
    '-1',
    'null',
    '"look":"answer"',
    '"kick":"ask"',
    '"kick":"deny"',
    '"ports":[{"kind":"stun"',
  ],
  attempt(input) {
    const look = readLook(input)
    if (look !== undefined) return attemptLook(look)
    const kick = readKick(input)
    if (kick !== undefined) return attemptKick(kick)
    const read = readRelayState(input)
    if (typeof read === 'string') return read.replaceAll(/\d+/g, '')
    const { state, problems } = read
    invariant(problems.length <= 8, 'more problems than a line has room for')
    invariant(state.nodes.length <= 64 && state.links.length <= 256, 'a list that is too long')
    invariant(state.everyMs >= 1_000 && state.everyMs <= 60_000, 'an interval that is out of bounds')
    const again = readRelayState(writeRelayState(state))
    invariant(typeof again !== 'string', 'what was read is refused when it is written')
    same(again.problems, [], 'problems of what was read')
    return `${state.health.state} ${problems.length} ${magnitude(state.links.length)}`
  },
}

/** A further message in the same frame. */
function attemptKick(kick: Kick): string {
  same(JSON.stringify(readKick(writeKick(kick))), JSON.stringify(kick), 'kick')
  return `kick ${kick.kick}`
}

/** The other message in the same frame. */
function attemptLook(look: Look): string {
  const again = readLook(writeLook(look))
  same(JSON.stringify(again), JSON.stringify(look), 'look')
  if (look.look === 'ask') return 'ask'
  invariant(look.ports.length <= 48, 'more ports than a relay has')
  return `answer ${magnitude(look.ports.length)}`
}

export const FRAME_TARGETS: readonly FuzzTarget[] = [
  frameReader,
  clientInfo,
  sealed,
  serverInfo,
  notices,
  relayState,
]
