// The options of `serve` about the lane, the UDP port for WireGuard peers. A part of the table in `options.ts`.

import { endpoint, text } from './option-kind.ts'
import type { OptionTable } from './option.ts'

export const LANE = {
  lane: {
    kind: endpoint,
    about:
      'UDP address of the lane, which relays between stock WireGuard peers, such as :51820. Needs -lane-key-file and -lane-roster',
  },
  'lane-key-file': {
    kind: text('the path of a file', 'FILE'),
    about:
      "File of the lane's own WireGuard private key, as `wg genkey` prints it. If it does not exist, it is created with mode 0600; its folder must exist",
  },
  'lane-roster': {
    kind: text('the path of a file', 'FILE'),
    about:
      'File of the peers that may use the lane: in each line a public key, a name, and the names of the peers that it may reach',
    reload: 'content',
  },
} as const satisfies OptionTable
