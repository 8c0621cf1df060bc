// The pages of derper about its clients, at derper's paths, on the admin port: `/debug/clients/`, `/debug/traffic`, `/debug/check`.

import type { AdminRequest, Page, PageAnswer } from './admin-page.ts'
import type { ClientSample } from './client-snapshot.ts'
import { derperClients } from './derper-clients.ts'
import type { TrafficStream } from './traffic-stream.ts'

export interface DerperSource {
  sample(): Promise<ClientSample>
  /** Whether whole keys and addresses may be shown, which derper's tools need. */
  readonly isShownWhole: boolean
  readonly traffic: Pick<TrafficStream, 'open'>
  /** What does not fit together; empty if all does. */
  problems(): Promise<readonly string[]>
}

const PLAIN = 'text/plain; charset=utf-8'
const NOT_SHOWN: PageAnswer = {
  status: 403,
  contentType: PLAIN,
  text: 'this page has whole keys and addresses, and -show-keys or -show-addresses does not let them be shown; see /clients\n',
}
/** derper's own words, which scripts look for. */
const OKAY = 'derp.Server ConsistencyCheck okay'

export function derperPages(source: DerperSource): readonly Page[] {
  const clients = async (request: AdminRequest): Promise<PageAnswer> =>
    source.isShownWhole ? await derperClients(request, async () => (await source.sample()).now) : NOT_SHOWN
  return [
    {
      path: '/debug/clients/',
      about: "the clients as derper's page has them; ?all&format=json",
      answer: clients,
    },
    { path: '/debug/clients', about: 'the same', answer: clients },
    {
      path: '/debug/traffic',
      about: 'endless: every two seconds a line of JSON for each connection that has moved bytes',
      answer: () => (source.isShownWhole ? { open: (response) => source.traffic.open(response) } : NOT_SHOWN),
    },
    {
      path: '/debug/check',
      about: '200 if counters, sessions and tables of keys agree, else 500 and what does not',
      answer: async () => checkAnswer(await source.problems()),
    },
  ]
}

function checkAnswer(problems: readonly string[]): PageAnswer {
  return problems.length === 0
    ? { status: 200, contentType: PLAIN, text: OKAY }
    : { status: 500, contentType: PLAIN, text: `${problems.join(', ')}\n` }
}
