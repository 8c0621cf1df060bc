import { expect, it } from 'vitest'
import { RandomSupply } from '#worker/random-supply.ts'

it('bytes are as many as were asked for, stay as they are, and none is given out twice', () => {
  const { take } = new RandomSupply()
  const taken = Array.from({ length: 2_000 }, (_, n) => take(n % 7 === 0 ? 24 : 12))
  const texts = taken.map((bytes) => Buffer.from(bytes).toString('hex'))
  expect(taken.map(({ length }) => length)).toEqual(taken.map((_, n) => (n % 7 === 0 ? 24 : 12)))
  expect(new Set(texts).size).toBe(2_000)
  taken[0]?.fill(0)
  expect(taken.slice(1).map((bytes) => Buffer.from(bytes).toString('hex'))).toEqual(texts.slice(1))
})

it('more than the supply is given out as well', () => {
  const { take } = new RandomSupply()
  take(4_000)
  const many = take(10_000)
  expect(many.length).toBe(10_000)
  expect(new Set(many).size).toBe(256)
  expect(take(1).length).toBe(1)
})
