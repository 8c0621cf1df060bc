// What the other bridge of a pair says: whoever holds its key may write anything into its box.

import { isIP } from 'node:net'
import { readCandidate } from '#bridge/candidates.ts'
import { CANDIDATES_MAX, ControlChannel, looksLikeControl } from '#bridge/control-frame.ts'
import { BoxKey } from '#protocol/box.ts'
import { concatBytes } from '#protocol/bytes.ts'
import { invariant, texts, type FuzzTarget } from '../target.ts'

const [OWN, PEER, BOX] = [
  new Uint8Array(32).fill(1),
  new Uint8Array(32).fill(2),
  new BoxKey(new Uint8Array(32).fill(3)),
]
const NOW_MS = 1_800_000_000_000

/** The plain text of a box. */
const message: FuzzTarget = {
  name: 'bridge-message',
  corpus: texts(
    `{"kind":"hello","time":${NOW_MS}}`,
    `{"kind":"flow","flow":4294967295,"isReply":true,"time":${NOW_MS}}`,
    `{"kind":"state","seen":{"rx":1,"tx":2,"way":"native"},"time":${NOW_MS}}`,
    `{"kind":"ask","time":${NOW_MS + 30_001}}`,
    `{"kind":"offer","candidates":["192.0.2.1:40000","[2001:db8::1]:1"],"isReply":false,"time":${NOW_MS}}`,
    `{"kind":"ping","id":281474976710655,"time":${NOW_MS}}      `,
    `{"kind":"direct","silentMs":12,"time":${NOW_MS}}`,
    '[]',
    'null',
  ),
  tokens: [
    '"kind":',
    '"flow":',
    '"seen":',
    '"rx":',
    '"tx":',
    '"way":',
    '"time":',
    '"id":',
    '"candidates":[',
    '"[::ffff:192.0.2.1]:1",',
    '"silentMs":',
    '-1',
    '1e309',
    '9007199254740993',
  ],
  attempt(input) {
    const packet = concatBytes(Buffer.from('DFB1'), PEER, BOX.seal(new Uint8Array(24), input))
    const opened = new ControlChannel(OWN, PEER, BOX).open(packet, NOW_MS)
    invariant(opened !== undefined || !looksLikeControl(packet), 'a message that opens is data')
    if (opened === undefined) return 'too long'
    if ('ignored' in opened) return opened.ignored
    const { message: said, timeMs } = opened
    invariant(Math.abs(timeMs - NOW_MS) <= 30_000, `the clock is at ${timeMs}`)
    if (said.kind === 'flow')
      invariant(Number.isSafeInteger(said.flow) && said.flow >= 0, `flow ${said.flow}`)
    if (said.kind === 'state' && said.seen !== undefined) {
      for (const count of [said.seen.rx, said.seen.tx]) {
        invariant(Number.isSafeInteger(count) && count >= 0, `count ${count}`)
      }
    }
    if (said.kind === 'ping' || said.kind === 'pong')
      invariant(Number.isSafeInteger(said.id) && said.id >= 0, `id ${said.id}`)
    if (said.kind === 'offer') checkOffer(said.candidates)
    return said.kind
  },
}

function checkOffer(candidates: readonly string[]): void {
  invariant(candidates.length <= CANDIDATES_MAX, `${candidates.length} addresses`)
  for (const text of candidates) {
    const address = readCandidate(text, () => false)
    if (address === undefined) continue
    invariant(isIP(address.host) !== 0 && address.port > 0 && address.port < 65_536, text)
    invariant(!/^(127\.|::1$|::ffff:)/.test(address.host), text)
  }
}

export const BRIDGE_TARGETS: readonly FuzzTarget[] = [message]
