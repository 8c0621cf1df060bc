import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { HttpChallenges } from '#certificates/http-challenges.ts'
import { RedirectServer } from '#transport/redirect-server.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { RawSocket } from '../support/raw-socket.ts'

const TOKEN = 'evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA'
let folder: TemporaryFolder
let ours: HttpChallenges
let theirs: HttpChallenges
let server: RedirectServer
let port: number
let lookUp: (token: string) => Promise<string | undefined>

beforeEach(async () => {
  folder = new TemporaryFolder()
  ours = new HttpChallenges(folder.path)
  theirs = new HttpChallenges(folder.path)
  lookUp = async (token) => await ours.textOf(token)
  server = new RedirectServer(443, undefined, async (token) => await lookUp(token))
  port = await server.listen({ host: '127.0.0.1', port: 0, inherited: undefined })
})

afterEach(async () => {
  await server.close()
  folder[Symbol.dispose]()
})

async function get(token: string): Promise<[status: number, text: string]> {
  const answer = await fetch(`http://127.0.0.1:${port}/.well-known/acme-challenge/${token}`, {
    redirect: 'manual',
  })
  return [answer.status, await answer.text()]
}

test('answers for this relay and for one that shares the folder, until the challenge is over', async () => {
  await ours.set(TOKEN, `${TOKEN}.ours`)
  const other = TOKEN.replace('e', 'E')
  await theirs.set(other, `${other}.theirs`)
  expect(await get(TOKEN)).toEqual([200, `${TOKEN}.ours`])
  expect(await get(other)).toEqual([200, `${other}.theirs`])
  await ours.clear(TOKEN)
  await theirs.clear(other)
  expect(await get(TOKEN)).toEqual([404, 'no such challenge\n'])
  expect(await get(other)).toEqual([404, 'no such challenge\n'])
})

test('answers from memory if the folder takes no files', async () => {
  const lonely = new HttpChallenges(join(folder.write('file', ''), 'below-a-file'))
  await lonely.set(TOKEN, 'text')
  expect(await lonely.textOf(TOKEN)).toBe('text')
  await lonely.clear(TOKEN)
  expect(await lonely.textOf(TOKEN)).toBeUndefined()
})

test.each(['..%2Facme_account%2Bkey', '..%2Fshort', 'short', 'x'.repeat(200), `${TOKEN}+http-01`])(
  'reads no other file: %s',
  async (token) => {
    writeFileSync(folder.at(`short+http-01`), 'secret')
    writeFileSync(folder.at('acme_account+key'), 'secret')
    const [status, text] = await get(token)
    expect([status, text.includes('secret')]).toEqual([404, false])
  },
)

test('reads few files at one time, and large ones not at all', async () => {
  writeFileSync(folder.at(`${TOKEN}+http-01`), 'x'.repeat(2_000))
  expect(await ours.textOf(TOKEN)).toBeUndefined()
  writeFileSync(folder.at(`${TOKEN}+http-01`), 'text')
  const found = await Promise.all(Array.from({ length: 50 }, async () => await ours.textOf(TOKEN)))
  expect(found.filter((text) => text === 'text').length).toBeLessThan(10)
  expect(await ours.textOf(TOKEN)).toBe('text')
})

test('a request behind one whose answer takes time is answered after it; a client may leave meanwhile', async () => {
  const waiting = Promise.withResolvers<string>()
  lookUp = async () => await waiting.promise
  const leaving = await RawSocket.plain(port)
  const request = (path: string, more = ''): string =>
    `GET ${path} HTTP/1.1\r\nHost: a.example\r\n${more}\r\n`
  leaving.send(request(`/.well-known/acme-challenge/${TOKEN}`))
  const socket = await RawSocket.plain(port)
  socket.send(
    request(`/.well-known/acme-challenge/${TOKEN}`) + request('/generate_204', 'Connection: close\r\n'),
  )
  // Both requests have arrived when another one is answered.
  expect((await fetch(`http://127.0.0.1:${port}/generate_204`)).status).toBe(204)
  leaving.destroy()
  waiting.resolve('the text')
  const answers = (await socket.ended()).toString()
  expect(answers).toMatch(/^HTTP\/1\.1 200 OK[^]*the textHTTP\/1\.1 204 No Content/)
})
