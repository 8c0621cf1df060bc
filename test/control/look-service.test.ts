// A relay looks at siblings that ask, and at nobody else: what it tries comes from its own regions file, whoever asks.

import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { LookService } from '#control/look-service.ts'
import type { RelayView } from '#fleet/fleet-state.ts'
import { readLook, writeLook, type Look } from '#fleet/look.ts'
import type { Region } from '#fleet/region.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import type { ToRelayThread } from '#worker/thread-messages.ts'
import { alice, bob, cathy } from '../support/actor.ts'
import { messageOf } from '../support/relay-states.ts'

/** Accepts connections in the place of a relay's DERP port, and counts them. */
let server: Server
let connectionCount = 0

beforeEach(async () => {
  connectionCount = 0
  server = createServer((socket) => {
    connectionCount++
    socket.on('error', () => undefined).end('not a relay')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
})
afterEach(() => void server.close())

/** The looking relay's file: alice's relay is in it, and listens at the server. */
function regions(): readonly Region[] {
  const { port } = server.address() as AddressInfo
  const node = { name: '900a', hostname: 'derp1.lab', ipv4: '127.0.0.1', ipv6: 'none', stunPort: -1 }
  return [{ id: 900, code: 'fra', name: 'fra', nodes: [{ ...node, derpPort: port }] }]
}

/** What the fleet's state says: alice and bob are relays, and only alice's is listed. */
function relays(): readonly RelayView[] {
  const { port } = server.address() as AddressInfo
  const view = { isOwn: false, state: 'up', knownBy: 'state', ageMs: 0, problems: [] } as const
  const last = (key: Uint8Array): RelayView['last'] => ({ key: publicKeyText(key) }) as RelayView['last']
  return [
    { ...view, name: `derp1.lab:${port}`, isListed: true, nodes: ['900a'], last: last(alice.key) },
    { ...view, name: 'derp9.lab', isListed: false, nodes: ['900a'], last: last(bob.key) },
  ]
}

interface Looker {
  readonly service: LookService
  readonly answers: Look[]
  readonly ask: (key: Uint8Array, message?: Uint8Array) => void
}

function looker(): Looker {
  const answers: Look[] = []
  const service = new LookService({
    fleet: { fleet: { relays: relays(), conflicts: [] }, linked: [], send: () => false },
    mesh: { fileRegions: regions(), regionOf: () => 900 },
    authorities: () => [],
  })
  const send = (message: ToRelayThread): void => {
    const look = message.kind === 'answerSibling' ? readLook(message.state) : undefined
    if (look !== undefined) answers.push(look)
  }
  const question = writeLook({ look: 'ask', id: 'q' })
  return {
    service,
    answers,
    ask: (key, message = question) => service.take(key, message, { index: 0, send }),
  }
}

it('tries the ports that the file has for the relay that asks', async () => {
  const { ask, answers } = looker()
  ask(alice.key)
  await vi.waitFor(() => expect(answers).toHaveLength(1))
  expect(answers[0]).toMatchObject({ look: 'answer', id: 'q', refusal: '' })
  const [port, ...others] = answers[0]?.look === 'answer' ? answers[0].ports : []
  expect(port).toMatchObject({ node: '900a', kind: 'derp', family: 4, result: 'failed', stage: 'tls' })
  expect(others.map(({ result, detail }) => [result, detail])).toEqual([['skipped', 'no IPv6 address']])
  expect(connectionCount).toBe(1)
})

it('refuses a relay that is not in the file, and one that asks again at once', async () => {
  const { ask, answers } = looker()
  for (const key of [bob.key, cathy.key, alice.key, alice.key]) ask(key)
  await vi.waitFor(() => expect(answers).toHaveLength(4))
  const refusals = answers.map((one) => (one.look === 'answer' ? one.refusal : ''))
  expect(refusals.filter((text) => text.includes('does not have this relay'))).toHaveLength(2)
  expect(refusals.filter((text) => text.includes('a moment ago'))).toHaveLength(1)
  expect(connectionCount).toBe(1)
})

it('passes over what it does not understand, and answers that it has not asked for', () => {
  const { ask, answers } = looker()
  const answer = {
    look: 'answer',
    id: 'q',
    nowMs: 1,
    regions: '',
    refusal: '',
    claims: [],
    ports: [],
  } as const
  for (const message of [writeLook(answer), messageOf('900a'), Buffer.from('{"look":'), Buffer.alloc(40_000)])
    ask(alice.key, message)
  expect([answers, connectionCount]).toEqual([[], 0])
})
