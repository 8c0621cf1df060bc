// Answers to an upgrade request, split at every position.

import { expect, test } from 'vitest'
import { HttpAnswer } from '#client/http-answer.ts'

const head = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n\r\n'

test('the stream begins behind the head, wherever the answer is split', () => {
  const bytes = Buffer.from(`${head}frames`)
  for (let cut = 0; cut <= bytes.length; cut++) {
    const answer = new HttpAnswer()
    const first = answer.feed(bytes, 0, cut)
    const stream = answer.head === undefined ? '' : bytes.toString('latin1', first, cut)
    // The second piece is at another position of its buffer, as after another read.
    const second = Buffer.concat([Buffer.alloc(3), bytes.subarray(cut)])
    const secondAt = answer.head === undefined ? answer.feed(second, 3, second.length) : 3
    expect(stream + second.toString('latin1', secondAt)).toBe('frames')
    expect([answer.headText, answer.error]).toEqual([head, undefined])
  }
})

test('giveUp returns an error for a refusal only', () => {
  const empty = new HttpAnswer()
  expect(empty.giveUp()).toBeUndefined()
  const accepted = new HttpAnswer()
  accepted.feed(Buffer.from(head), 0, head.length)
  expect(accepted.giveUp()).toBeUndefined()
  const refused = new HttpAnswer()
  const refusal = 'HTTP/1.1 503 Busy\r\nContent-Length: 50\r\n\r\nlater'
  refused.feed(Buffer.from(refusal), 0, refusal.length)
  expect(refused.error).toBeUndefined()
  expect(refused.giveUp()?.message).toBe('the server answered 503 Busy: "later"')
})
