import { expect, it } from 'vitest'
import { LinkWatch, type WatchedLink } from '#ops/link-watch.ts'

const link: WatchedLink = {
  name: 'derp2.lab',
  serial: 0,
  state: 'up',
  why: '',
  isTried: true,
  isInside: true,
  keys: 10,
  keysRefused: 0,
  waitingBytes: 100,
  packets: 5,
  bytes: 5_000,
  dropped: 1,
  delayMs: 2,
  rttMs: 8,
  rttMinMs: 7,
  rttMedianMs: 8,
  jitterMs: 1,
  lossRatio: 0,
}

function watch(threadCount: number): { links: LinkWatch; pass: (ms: number) => void } {
  let nowMs = 1_000
  const links = new LinkWatch({ threadCount, hasMesh: true, now: () => nowMs })
  links.expect(1)
  return { links, pass: (ms) => (nowMs += ms) }
}

it('passes when every thread has tried every sibling, and still passes when a sibling goes down', () => {
  const { links } = watch(2)
  expect(links.check().isOk).toBe(false)
  links.note(0, 1, [link])
  links.note(1, 1, [{ ...link, isTried: false, state: 'greeted' }])
  expect(links.check().isOk).toBe(false)
  links.note(1, 1, [link])
  expect(links.check()).toEqual({ isOk: true, detail: '1 of 1 siblings connected' })
  links.note(0, 1, [{ ...link, isTried: false, state: 'waiting', why: 'refuses' }])
  expect(links.check()).toEqual({ isOk: true, detail: '0 of 1 siblings connected; derp2.lab: refuses' })
})

it('waits at most ten seconds for a sibling', () => {
  const { links, pass } = watch(1)
  links.note(0, 1, [{ ...link, isTried: false, state: 'dialling' }])
  pass(9_000)
  expect(links.check().isOk).toBe(false)
  pass(2_000)
  expect(links.check().isOk).toBe(true)
})

it('shows each sibling once, with the traffic of all threads and the smallest round trip', () => {
  const { links } = watch(2)
  links.note(0, 1, [link, { ...link, name: 'derp1.lab', state: 'self' }])
  links.note(1, 1, [
    {
      ...link,
      packets: 7,
      dropped: 0,
      delayMs: 9,
      rttMs: 6,
      rttMinMs: 5,
      rttMedianMs: 9,
      keys: 11,
      state: 'waiting',
      why: 'refuses',
    },
  ])
  const { state: _state, serial: _serial, isTried: _isTried, ...numbers } = link
  expect(links.siblings()).toEqual([
    {
      ...numbers,
      isUp: false,
      why: 'refuses',
      keys: 11,
      waitingBytes: 200,
      packets: 12,
      bytes: 10_000,
      dropped: 1,
      delayMs: 9,
      rttMs: 6,
      rttMinMs: 5,
      rttMedianMs: 8,
    },
  ])
  links.forget(1)
  // The dead thread's packets still count.
  expect(links.siblings()).toEqual([{ ...numbers, isUp: true, packets: 12, bytes: 10_000 }])
})

it('fails until the sibling list is known, and ignores reports about earlier editions', () => {
  let nowMs = 0
  const links = new LinkWatch({ threadCount: 1, hasMesh: true, now: () => nowMs })
  // A thread that has just started has no links. Neither has a thread that knows the list and needs no links.
  links.note(0, 0, [])
  expect(links.check().isOk).toBe(false)
  links.note(0, 1, [link])
  // Not all names are resolved yet.
  expect(links.check().isOk).toBe(false)
  links.expect(2)
  expect(links.check().isOk).toBe(false)
  links.note(0, 2, [link, { ...link, name: 'derp3.lab', isTried: false, state: 'dialling' }])
  expect(links.check().isOk).toBe(false)
  links.note(0, 2, [])
  expect(links.check()).toEqual({ isOk: true, detail: '0 of 0 siblings connected' })
  nowMs = 11_000
  expect(new LinkWatch({ threadCount: 1, hasMesh: true, now: () => nowMs }).check().isOk).toBe(false)
})

it("continues a sibling's counters after a thread's death, a remade link and a return to the list", () => {
  const { links } = watch(2)
  let last = 0
  const total = (): number => {
    const [view] = links.siblings()
    const now = view?.packets ?? last
    expect(now).toBeGreaterThanOrEqual(last)
    return (last = now)
  }
  const counted = (serial: number, packets: number): WatchedLink => ({ ...link, serial, packets })
  links.note(0, 1, [counted(0, 100)])
  links.note(1, 1, [counted(0, 10)])
  expect(total()).toBe(110)
  links.forget(0)
  expect(total()).toBe(110)
  links.note(0, 1, [counted(0, 5)])
  expect(total()).toBe(115)
  // A new address under the same name: the old link's last report arrives with the new link's first.
  links.note(1, 2, [counted(1, 3), { ...counted(0, 12), state: 'closed' }])
  expect(total()).toBe(120)
  links.note(0, 3, [])
  links.note(1, 3, [])
  expect(links.siblings()).toEqual([])
  links.note(0, 4, [counted(2, 0)])
  expect(total()).toBe(120)
  links.note(0, 4, [counted(2, 7)])
  expect(total()).toBe(127)
})

it('remembers the counters of the last thousand siblings', () => {
  const { links } = watch(1)
  const named = (i: number, packets: number): WatchedLink => ({
    ...link,
    name: `relay ${i}`,
    serial: i,
    packets,
  })
  // The first sibling stays listed all the time; the others come and go.
  for (let i = 1; i <= 1_200; i++) links.note(0, i, [named(0, 5), named(i, 10)])
  const remembered = [0, 202, 1_200, 1, 200].map((i) => {
    links.note(0, 2_000, [])
    links.note(0, 2_000, [{ ...named(i, 1), serial: 5_000 + i }])
    return links.siblings()[0]?.packets
  })
  expect(remembered).toEqual([6, 11, 11, 1, 1])
})

it('names three siblings that are down, and the number of the others', () => {
  const { links } = watch(1)
  const waiting = { ...link, state: 'waiting', why: 'is down' }
  const down = [0, 1, 2, 3, 4].map((i): WatchedLink => Object.assign({}, waiting, { name: `derp${i}.lab` }))
  links.note(0, 1, [{ ...link, name: 'up.lab' }, ...down.slice(2)])
  expect(links.check().detail).toBe(
    '1 of 4 siblings connected; derp2.lab: is down; derp3.lab: is down; derp4.lab: is down',
  )
  links.note(0, 1, down)
  expect(links.check().detail).toBe(
    '0 of 5 siblings connected; derp0.lab: is down; derp1.lab: is down; derp2.lab: is down; and 2 more',
  )
})

it('shows a sibling with a copied key as down', () => {
  const { links } = watch(1)
  links.note(0, 1, [{ ...link, state: 'copied', why: 'has the key of this relay, too' }])
  expect(links.siblings()).toMatchObject([{ name: 'derp2.lab', isUp: false }])
  expect(links.check().detail).toContain('derp2.lab: has the key of this relay, too')
})
