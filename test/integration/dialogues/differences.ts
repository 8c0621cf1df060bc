// The deliberate differences between derper and this relay, by dialogue. The reasons are in docs/compatibility.md,
// under the same titles.

import { type Difference, receives, onlyWith, type Rewrite } from '../../support/transcript.ts'
import { httpDifferences, tlsDifferences, webSocketDifferences } from './http-differences.ts'

const serverInfo = 'ServerInfo {"version":2}'

const login: readonly Difference[] = [
  {
    title: 'A whole number in ClientInfo may be written with a fraction or an exponent, and be of any size.',
    occurrences: [
      receives(
        'whole numbers written with a fraction or an exponent',
        'client 0',
        ['closed (fin)'],
        [serverInfo],
      ),
      receives(
        'whole numbers written with a fraction or an exponent',
        'client 1',
        ['closed (fin)'],
        [serverInfo],
      ),
      receives('numbers beyond 64 bits', 'client 1', ['closed (fin)'], [serverInfo]),
    ],
  },
  {
    title: 'If a name occurs twice in ClientInfo, only the last value must be well-formed.',
    occurrences: [receives('field names that occur twice', 'client 0', ['closed (fin)'], [serverInfo])],
  },
  {
    title: 'Invalid application names are refused (as by derper 1.104 and later).',
    occurrences: [0, 1, 2, 3].map((n) =>
      onlyWith(
        '1.102.5',
        receives('invalid application names', `client ${n}`, [serverInfo], ['closed (fin)']),
      ),
    ),
  },
]

const packets: readonly Difference[] = [
  {
    title: 'A peer that leaves a second time is reported a second time.',
    occurrences: [
      {
        dialogue: 'a peer that disconnects twice',
        derper: ['alice again disconnects'],
        derpfleet: ['alice again disconnects', 'bob < PeerGone alice disconnected (33 B)'],
      },
    ],
  },
  {
    title: 'Among the connections of a key, the most recently active one receives.',
    occurrences: [
      {
        dialogue: 'three connections of a key end one after another',
        derper: ['first < RecvPacket from bob <68656c6c6f>', 'second disconnects'],
        derpfleet: ['second < RecvPacket from bob <68656c6c6f>', 'second disconnects'],
      },
    ],
  },
  {
    title: 'A packet that a sibling forwards under the zero key is dropped.',
    occurrences: [
      { dialogue: 'forwarding under the zero key', derper: ['bob < RecvPacket <68656c6c6f>'], derpfleet: [] },
    ],
  },
  {
    title: 'A sibling is notified of every packet for a key that is not connected.',
    occurrences: [
      {
        dialogue: 'forwarding to a key that is not connected',
        derper: ['sibling < Pong <3132333435363738>'],
        derpfleet: ['sibling < PeerGone nobody notHere (33 B)', 'sibling < Pong <3132333435363738>'],
      },
      {
        dialogue: 'forwarding to a key that is not connected',
        derper: Array.from({ length: 3 }, () => 'sibling < PeerGone nobody notHere (33 B)'),
        derpfleet: Array.from({ length: 5 }, () => 'sibling < PeerGone nobody notHere (33 B)'),
      },
    ],
  },
  {
    title: 'An unknown frame of more than 65,568 bytes ends the connection (as in derper 1.104 and later).',
    occurrences: [
      {
        dialogue: 'an unknown frame over the greatest length',
        derper: ['(timed out waiting for 1 item)'],
        derpfleet: ['alice < closed (fin)'],
        versions: ['1.102.5'],
      },
    ],
  },
]

/** Differences of one version of derper in all dialogues. */
export const rewrites: readonly Rewrite[] = [
  {
    title: 'Siblings receive the name of the application (as from derper 1.104 and later).',
    version: '1.102.5',
    derper: /^(.* < PeerPresent prober .*) app undefined \(51 B\)$/,
    derpfleet: '$1 app "probe 1.0" (61 B)',
  },
  {
    title: 'Siblings receive the name of the application (as from derper 1.104 and later).',
    version: '1.102.5',
    derper: /^(.* < PeerPresent .*) app undefined \(51 B\)$/,
    derpfleet: '$1 app "" (52 B)',
  },
]

export const differences: readonly Difference[] = [
  ...tlsDifferences,
  ...httpDifferences,
  ...webSocketDifferences,
  ...login,
  ...packets,
]
