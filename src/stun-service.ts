// The control thread's hold on the thread that answers STUN.

import { StunCounters, type StunNumbers } from '#transport/stun-server.ts'
import { entryOf, Thread } from './thread.ts'
import type { ToStunThread } from './thread-messages.ts'

export class StunService {
  readonly #thread: Thread<ToStunThread>
  readonly #counters: StunCounters

  constructor(endpoint: { host: string; port: number }, onFault: (error: Error) => void) {
    const counters = StunCounters.memory()
    this.#counters = new StunCounters(counters)
    this.#thread = new Thread(
      entryOf('stun-thread'),
      { ...endpoint, counters },
      {
        what: 'STUN thread',

        onMessage: () => undefined,
        onEnd: onFault,
        onHang: onFault,
      },
    )
  }

  async listen(): Promise<number> {
    return await this.#thread.listening()
  }

  answer(isAnswering: boolean): void {
    this.#thread.tell({ kind: 'answer', isAnswering })
  }

  read(): StunNumbers {
    return this.#counters.read()
  }

  async stop(): Promise<void> {
    await this.#thread.stop({ kind: 'stop' })
  }
}
