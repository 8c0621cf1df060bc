// An admission backend in a process of its own, so that it can be pinned to a processor. Its delay is set, and its requests are
// counted, by messages from the process that starts it.

import { VerifyServer } from '../../test/support/verify-server.ts'

/** A message to it. It answers each with the requests since the one before. */
export interface VerifyOrder {
  /** Milliseconds; null: requests are never answered. */
  readonly delayMs: number | null
}

export interface VerifyAnswer {
  readonly url: string
  readonly requests: number
}

const server = await VerifyServer.start()
process.on('message', ({ delayMs }: VerifyOrder) => {
  server.delayMs = delayMs ?? undefined
  const answer: VerifyAnswer = { url: server.url, requests: server.requestCount }
  server.requestCount = 0
  process.send?.(answer)
})
process.on('disconnect', () => process.exit())
