// Who is here, on the admin port: `/clients` for people and `/clients.json` for programs. What they show is `client-list.ts`;
// the sample is taken by its owner.

import type { AdminRequest, Page, PageAnswer } from './admin-page.ts'
import { clientList, CLIENT_SORTS, readClientQuery, type ClientList } from './client-list.ts'
import { clientsText } from './client-text.ts'
import type { ClientSample } from './client-snapshot.ts'

export interface ClientsSource {
  readonly isTls: boolean
  /** The clients now. Takes up to a second when nobody has asked lately; many who ask at once get the same. */
  sample(): Promise<ClientSample>
}

export function clientPages(source: ClientsSource): readonly Page[] {
  const options = `?sort=${CLIENT_SORTS.join('|')}, ?limit=N, ?key=PREFIX, ?keys=full`
  return [
    {
      path: '/clients',
      about: `who is here, and who talks most; ${options}`,
      answer: async (request: AdminRequest) => await answer(request, source, clientsText),
    },
    {
      path: '/clients.json',
      about: 'the same as JSON',
      answer: async (request: AdminRequest) =>
        await answer(request, source, (list) => `${JSON.stringify(list)}\n`, 'application/json'),
    },
  ]
}

async function answer(
  { query }: AdminRequest,
  source: ClientsSource,
  textOf: (list: ClientList) => string,
  contentType = 'text/plain; charset=utf-8',
): Promise<PageAnswer> {
  const asked = readClientQuery({
    sort: query.get('sort') ?? undefined,
    limit: query.get('limit') ?? undefined,
    key: query.get('key') ?? undefined,
    hasFullKeys: query.get('keys') === 'full',
  })
  if (typeof asked === 'string')
    return { status: 400, contentType: 'text/plain; charset=utf-8', text: `${asked}\n` }
  const sample = await source.sample()
  return { status: 200, contentType, text: textOf(clientList(sample, asked, source.isTls)) }
}
