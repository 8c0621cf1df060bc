// Pages of the control thread on the DERP port: one head in, one page out, under a clock that the test moves.

import { expect, it } from 'vitest'
import { parseHttpHead, type HttpHead } from '#protocol/http-head.ts'
import { PublishedPages } from '#transport/published-pages.ts'
import { FakeClock } from '../support/fake-clock.ts'

const PAGE = { path: '/map', status: 200, body: '{}', fields: [['ETag', '"v1"']] } as const

function head(method: string, ifNoneMatch?: string): HttpHead {
  const field = ifNoneMatch === undefined ? '' : `If-None-Match: ${ifNoneMatch}\r\n`
  const bytes = Buffer.from(`${method} /map HTTP/1.1\r\nHost: a\r\n${field}\r\n`)
  const parsed = parseHttpHead(bytes, 0, bytes.length)
  if (parsed === undefined) throw new Error('no head')
  return parsed
}

it('answers by the tags that the client knows, and only what is read', () => {
  const pages = new PublishedPages(new FakeClock().now)
  expect(pages.answer('/map', head('GET'))).toBeUndefined()
  pages.use([PAGE])
  const status = (...args: Parameters<typeof head>): string | undefined =>
    pages.answer('/map', head(...args))?.status
  expect(status('GET')).toBe('200 OK')
  expect(status('GET', '"v0", W/"v1"')).toBe('304 Not Modified')
  expect(status('GET', '*')).toBe('304 Not Modified')
  expect(status('GET', 'v1')).toBe('200 OK')
  expect(status('POST')).toBe('405 Method Not Allowed')
  expect(pages.answer('/other', head('GET'))).toBeUndefined()
  pages.use([])
  expect(status('GET')).toBeUndefined()
})

it('answers a thousand a second, and more in plain text', () => {
  const clock = new FakeClock()
  const pages = new PublishedPages(clock.now)
  pages.use([PAGE])
  const full = (): number => {
    const answers = Array.from({ length: 3_000 }, () => pages.answer('/map', head('GET')))
    for (const answer of answers)
      if (answer?.status.startsWith('503') === true) expect(answer.body).toBe('too many requests\n')
    return answers.filter((answer) => answer?.body === '{}').length
  }
  expect(full()).toBe(1_000)
  clock.advance(500)
  expect(full()).toBe(500)
})

it('answers with large pages as many bytes a second as with small ones', () => {
  const pages = new PublishedPages(new FakeClock().now)
  pages.use([{ ...PAGE, body: 'x'.repeat(100 * 32_768) }])
  const statuses = (ifNoneMatch?: string): number =>
    Array.from({ length: 500 }, () => pages.answer('/map', head('GET', ifNoneMatch))?.status).filter(
      (status) => status?.startsWith('503') === false,
    ).length
  expect(statuses('"v1"')).toBe(500)
  expect(statuses()).toBe(5)
})
