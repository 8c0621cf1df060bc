// The public status page while the relay serves: made anew when a state changes, and given to the relay threads, which answer on
// the DERP port. Runs on the control thread.

import type { Overview } from '#ops/overview.ts'
import { PUBLIC_HEADERS, publicPage } from '#ops/public-page.ts'
import type { Service } from './service.ts'

/** As often as states of the fleet are looked at. */
const LOOK_MS = 1_000

export interface PublicStatusParts {
  readonly states: () => Pick<Overview, 'state' | 'regions'>
  readonly publish: (page: { fields: typeof PUBLIC_HEADERS; body: string }) => void
}

export class PublicStatus implements Service {
  readonly #parts: PublicStatusParts
  #published = ''
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(parts: PublicStatusParts) {
    this.#parts = parts
  }

  start(): void {
    this.#look()
    this.#timer = setInterval(() => this.#look(), LOOK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const html = publicPage(this.#parts.states())
    if (html === this.#published) return
    this.#published = html
    this.#parts.publish({ fields: PUBLIC_HEADERS, body: html })
  }
}
