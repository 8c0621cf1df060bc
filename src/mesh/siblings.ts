// The siblings of one relay thread: a link to each member of the mesh. Members come and go as the control thread says;
// a relay that is listed among its own siblings, or one that is listed twice, is recognised by its key.

import { bytesEqual } from '#protocol/bytes.ts'
import type { SiblingAddress } from './dial.ts'
import {
  SiblingLink,
  type LinkOwner,
  type LinkReport,
  type SiblingLinkParts,
  type Verdict,
} from './sibling-link.ts'

export interface SiblingsParts extends Omit<SiblingLinkParts, 'owner'> {
  /** The state of a link has changed. */
  readonly onChange: (link: SiblingLink) => void
}

export class Siblings implements LinkOwner {
  readonly #parts: SiblingsParts
  readonly #links = new Map<string, SiblingLink>()

  constructor(parts: SiblingsParts) {
    this.#parts = parts
  }

  /** From now on these, and no others, are the mesh; links to those who stay are kept. */
  setMembers(addresses: readonly SiblingAddress[]): void {
    const wanted = new Map(addresses.map((address) => [idOf(address), address]))
    for (const [id, link] of this.#links) {
      if (wanted.has(id)) continue
      this.#links.delete(id)
      link.close()
    }
    for (const [id, address] of wanted) {
      if (this.#links.has(id)) continue
      const link = new SiblingLink(address, { ...this.#parts, owner: this })
      this.#links.set(id, link)
      link.open()
    }
  }

  judge(link: SiblingLink, serverKey: Uint8Array): Verdict {
    if (bytesEqual(serverKey, this.#parts.identity.publicKey)) return 'self'
    const twin = [...this.#links.values()].find((other) => other !== link && isLinkTo(other, serverKey))
    return twin === undefined ? 'welcome' : 'twin'
  }

  changed(link: SiblingLink): void {
    this.#parts.onChange(link)
  }

  sweep(nowMs: number): void {
    for (const link of this.#links.values()) link.sweep(nowMs)
  }

  reports(): readonly LinkReport[] {
    return [...this.#links.values()].map((link) => link.report())
  }

  /** The member of that name. */
  named(name: string): SiblingLink | undefined {
    return [...this.#links.values()].find((link) => link.address.name === name)
  }

  /** The nodes of the DERP map that can be reached, and could for a while. */
  settledNodes(nowMs: number): ReadonlySet<string> {
    const settled = [...this.#links.values()].filter((link) => link.isSettled(nowMs))
    return new Set(settled.flatMap(({ address }) => address.nodes))
  }

  close(): void {
    this.setMembers([])
  }
}

function isLinkTo(link: SiblingLink, serverKey: Uint8Array): boolean {
  return link.serverKey !== undefined && bytesEqual(link.serverKey, serverKey)
}

/** Another address, or another way to verify it, is another member. */
function idOf(address: SiblingAddress): string {
  return JSON.stringify(address)
}
