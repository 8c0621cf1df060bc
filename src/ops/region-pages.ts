// The regions on the admin port: `/regions` ranks them for the asking client or for `?ip=`, and `/fleet/regions` has the
// numbers of each. What they say comes from their owner. Errors are plain text.

import { isIP } from 'node:net'
import type { AdminRequest, Page, PageAnswer } from './admin-page.ts'

export interface RegionsSource {
  /** JSON: the regions ranked for the client with this address, which is not kept. Any text that is no address is of no country. */
  rankingFor(ip: string): Promise<string>
  /** JSON: what the relays of each region tell. */
  numbers(): string
}

export function regionPages(source: RegionsSource): readonly Page[] {
  return [
    {
      path: '/regions',
      about: 'the regions by their distance from the asking client, or from ?ip=ADDRESS, as JSON',
      answer: async (request: AdminRequest) => await rankingAnswer(request, source),
    },
    {
      path: '/fleet/regions',
      about: 'clients, round trips by country and load of each region, as JSON',
      answer: () => json(source.numbers()),
    },
  ]
}

async function rankingAnswer(
  { query, remoteAddress = '' }: AdminRequest,
  source: RegionsSource,
): Promise<PageAnswer> {
  const given = query.get('ip')
  if (given !== null && isIP(given) === 0) {
    // What was given is not repeated: it may be anything.
    return plain(400, 'ip: not an IP address; expected one like 192.0.2.1 or 2001:db8::1\n')
  }
  return json(await source.rankingFor(given ?? remoteAddress))
}

function json(text: string): PageAnswer {
  return { status: 200, contentType: 'application/json', text }
}

function plain(status: number, text: string): PageAnswer {
  return { status, contentType: 'text/plain; charset=utf-8', text }
}
