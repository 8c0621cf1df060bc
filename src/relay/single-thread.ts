// The other threads of a relay that has one thread: there are none, so everything here does nothing.

import type { OtherThreads } from './ports.ts'

export class SingleThread implements OtherThreads {
  readonly index = 0
  readonly count = 0
  readonly isDraining = false
  isInRound = false
  #activity = 0

  connect(): void {}

  nextActivity(): number {
    this.#activity = (this.#activity + 1) | 0
    return this.#activity
  }

  present(): void {}

  active(): void {}

  gone(): void {}

  home(): void {}

  leaving(): void {}

  closePeer(): void {}

  sendPacket(): boolean {
    return false
  }

  isPressed(): boolean {
    return false
  }

  whenRoom(): void {}

  drain(): boolean {
    return false
  }

  endTurn(): boolean {
    return false
  }

  setPolling(): void {}
}
