// What the other bridge of a pair says: whoever holds its key may write anything into its box.

import { ControlChannel, looksLikeControl } from '#bridge/control-frame.ts'
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
    return said.kind
  },
}

export const BRIDGE_TARGETS: readonly FuzzTarget[] = [message]
