// Who is here, on the admin port: `/clients` for people and `/clients.json` for programs. What they show is `client-list.ts`;
// the sample is taken by its owner.

import type { AdminRequest, Page, PageAnswer } from './admin-page.ts'
import { CLIENT_SORTS, readClientQuery, type ClientList, type ClientQuery } from './client-list.ts'
import { clientsText } from './client-text.ts'

export interface ClientsSource {
  /** The clients now. Takes up to a second when nobody has asked lately; many who ask at once get the same. */
  list(query: ClientQuery): Promise<ClientList>
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
  return { status: 200, contentType, text: textOf(await source.list(asked)) }
}
