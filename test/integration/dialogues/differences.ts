// Where this relay deliberately does not do as derper does, scene by scene. The reasons are in docs/compatibility.md,
// under the same titles.

import { type Difference, hears, onlyWith, type Rewriting } from '../../support/transcript.ts'
import { httpDifferences, tlsDifferences, webSocketDifferences } from './http-differences.ts'

const serverInfo = 'ServerInfo {"version":2}'

const login: readonly Difference[] = [
  {
    title: 'A whole number in ClientInfo may be written with a fraction or an exponent, and be of any size.',
    shows: [
      hears(
        'whole numbers written with a fraction or an exponent',
        'client 0',
        ['closed (fin)'],
        [serverInfo],
      ),
      hears(
        'whole numbers written with a fraction or an exponent',
        'client 1',
        ['closed (fin)'],
        [serverInfo],
      ),
      hears('numbers beyond 64 bits', 'client 1', ['closed (fin)'], [serverInfo]),
    ],
  },
  {
    title: 'If a name occurs twice in ClientInfo, only the last value must be well-formed.',
    shows: [hears('names twice', 'client 0', ['closed (fin)'], [serverInfo])],
  },
  {
    title: 'Invalid application names are refused (as by derper 1.104 and later).',
    shows: [0, 1, 2, 3].map((n) =>
      onlyWith(
        '1.102.5',
        hears('names of applications that are not admissible', `client ${n}`, [serverInfo], ['closed (fin)']),
      ),
    ),
  },
]

const packets: readonly Difference[] = [
  {
    title: 'A peer that leaves a second time is reported a second time.',
    shows: [
      {
        scene: 'a peer that leaves twice',
        derper: ['alice again hangs up'],
        derpfleet: ['alice again hangs up', 'bob < PeerGone alice disconnected (33 B)'],
      },
    ],
  },
  {
    title: 'Among the connections of a key, the most recently active one receives.',
    shows: [
      {
        scene: 'three connections of a key end one after another',
        derper: ['first < RecvPacket from bob <68656c6c6f>', 'second hangs up'],
        derpfleet: ['second < RecvPacket from bob <68656c6c6f>', 'second hangs up'],
      },
    ],
  },
  {
    title: 'A packet that a sibling forwards under the zero key is dropped.',
    shows: [
      { scene: 'forwarding under the zero key', derper: ['bob < RecvPacket <68656c6c6f>'], derpfleet: [] },
    ],
  },
  {
    title: 'A sibling is notified of every packet for a key that is not connected.',
    shows: [
      {
        scene: 'forwarding to one who is not here',
        derper: ['sibling < Pong <3132333435363738>'],
        derpfleet: ['sibling < PeerGone nobody notHere (33 B)', 'sibling < Pong <3132333435363738>'],
      },
      {
        scene: 'forwarding to one who is not here',
        derper: Array.from({ length: 3 }, () => 'sibling < PeerGone nobody notHere (33 B)'),
        derpfleet: Array.from({ length: 5 }, () => 'sibling < PeerGone nobody notHere (33 B)'),
      },
    ],
  },
  {
    title: 'An unknown frame of more than 65,568 bytes ends the connection (as in derper 1.104 and later).',
    shows: [
      {
        scene: 'an unknown frame beyond that',
        derper: ['(waited in vain for 1)'],
        derpfleet: ['alice < closed (fin)'],
        versions: ['1.102.5'],
      },
    ],
  },
]

/** In a whole version of derper, wherever it occurs. */
export const rewritings: readonly Rewriting[] = [
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
