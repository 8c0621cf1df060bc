import { expect, it } from 'vitest'
import { LinkWatch, type WatchedLink } from '#ops/link-watch.ts'

const link: WatchedLink = {
  name: 'derp2.lab',
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
  jitterMs: 1,
  lossRatio: 0,
}

function watch(threadCount: number): { links: LinkWatch; pass: (ms: number) => void } {
  let nowMs = 1_000
  const links = new LinkWatch({ threadCount, hasMesh: true, now: () => nowMs })
  return { links, pass: (ms) => (nowMs += ms) }
}

it('is ready when every thread has tried every sibling, and stays so when one is lost', () => {
  const { links } = watch(2)
  expect(links.check().isOk).toBe(false)
  links.note(0, [link])
  links.note(1, [{ ...link, isTried: false, state: 'greeted' }])
  expect(links.check().isOk).toBe(false)
  links.note(1, [link])
  expect(links.check()).toEqual({ isOk: true, detail: '1 of 1 siblings reached' })
  links.note(0, [{ ...link, isTried: false, state: 'waiting' }])
  expect(links.check()).toEqual({ isOk: true, detail: '0 of 1 siblings reached' })
})

it('waits for nobody longer than ten seconds', () => {
  const { links, pass } = watch(1)
  links.note(0, [{ ...link, isTried: false, state: 'dialling' }])
  pass(9_000)
  expect(links.check().isOk).toBe(false)
  pass(2_000)
  expect(links.check().isOk).toBe(true)
})

it('tells of a sibling once, with what all threads handed to it and the best way that one has measured', () => {
  const { links } = watch(2)
  links.note(0, [link, { ...link, name: 'derp1.lab', state: 'self' }])
  links.note(1, [{ ...link, packets: 7, dropped: 0, delayMs: 9, rttMs: 6, keys: 11, state: 'waiting' }])
  const { why: _why, state: _state, isTried: _isTried, ...numbers } = link
  expect(links.siblings()).toEqual([
    {
      ...numbers,
      isUp: false,
      keys: 11,
      waitingBytes: 200,
      packets: 12,
      bytes: 10_000,
      dropped: 1,
      delayMs: 9,
      rttMs: 6,
    },
  ])
  links.forget(1)
  expect(links.siblings()).toEqual([{ ...numbers, isUp: true }])
})
