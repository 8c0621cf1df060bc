// The siblings of one relay thread: a link to each member of the mesh. Members come and go as the control thread says.
// A relay that is listed among its own siblings, one that is listed twice, and a machine that was copied with its key
// all show a key that is known here; which run of a relay they are tells them apart.

import { bytesEqual } from '#protocol/bytes.ts'
import type { SiblingAddress } from './dial.ts'
import type { SiblingReport } from './sibling-report.ts'
import { SiblingLink, type LinkOwner, type Recognition, type SiblingLinkParts } from './sibling-link.ts'
import type { SiblingLogin } from './sibling-login.ts'

export interface SiblingsParts extends Omit<SiblingLinkParts, 'owner'> {
  /** The state of a link has changed. */
  readonly onChange: (link: SiblingLink) => void
}

const OWN_KEY_ADVICE = 'make one of the two a key of its own (derpfleet keygen -o FILE)'

export class Siblings implements LinkOwner {
  readonly #parts: SiblingsParts
  readonly #links = new Map<string, SiblingLink>()
  /** Of members no more; each until its connection has ended and its last report was given. */
  readonly #ending = new Set<SiblingLink>()
  #linkCount = 0

  constructor(parts: SiblingsParts) {
    this.#parts = parts
  }

  /** From now on these, and no others, are the mesh; links to those who stay are kept. */
  setMembers(addresses: readonly SiblingAddress[]): void {
    const wanted = new Map(addresses.map((address) => [idOf(address), address]))
    const leaving = [...this.#links].filter(([id]) => !wanted.has(id))
    for (const [id, link] of leaving) {
      this.#links.delete(id)
      this.#ending.add(link)
    }
    for (const [, link] of leaving) link.close()
    for (const [id, address] of wanted) {
      if (this.#links.has(id)) continue
      const link = new SiblingLink(address, this.#linkCount++, { ...this.#parts, owner: this })
      this.#links.set(id, link)
      link.open()
    }
  }

  isKnown(link: SiblingLink, serverKey: Uint8Array): boolean {
    return this.#isOwn(serverKey) || this.#otherTo(link, serverKey) !== undefined
  }

  recognise(link: SiblingLink, { serverKey, instance }: SiblingLogin): Recognition | undefined {
    const { name, instance: own } = this.#parts.identity
    if (this.#isOwn(serverKey)) {
      if (instance === own) return { state: 'self', why: '' }
      return { state: 'copied', why: `has the key of this relay, ${name}, too; ${OWN_KEY_ADVICE}` }
    }
    const other = this.#otherTo(link, serverKey)
    // The link that it was compared with has gone meanwhile: as a twin it takes its place.
    if (other === undefined) return { state: 'alias', why: '' }
    const known = other.login
    if (known?.isProven !== true) return undefined
    if (instance === known.instance) return { state: 'alias', why: '' }
    return { state: 'copied', why: `has the key of ${other.address.name}, too; ${OWN_KEY_ADVICE}` }
  }

  changed(link: SiblingLink): void {
    this.#parts.onChange(link)
    if (link.login !== undefined || (link.state !== 'waiting' && link.state !== 'closed')) return
    // Another name of the relay that was lost may lead to it still.
    for (const other of this.#links.values()) if (other.state === 'alias') other.wake()
  }

  sweep(nowMs: number): void {
    for (const link of this.#links.values()) link.sweep(nowMs)
  }

  /** Of those who have left, too, until all that they counted has been told. */
  reports(): readonly SiblingReport[] {
    const links = [...this.#links.values(), ...this.#ending]
    const reports = links.map((link) => link.report())
    for (const link of this.#ending) if (link.isOver) this.#ending.delete(link)
    return reports
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

  #isOwn(serverKey: Uint8Array): boolean {
    return bytesEqual(serverKey, this.#parts.identity.publicKey)
  }

  #otherTo(link: SiblingLink, serverKey: Uint8Array): SiblingLink | undefined {
    return [...this.#links.values()].find((other) => other !== link && isLinkTo(other, serverKey))
  }
}

function isLinkTo(link: SiblingLink, serverKey: Uint8Array): boolean {
  return link.login !== undefined && bytesEqual(link.login.serverKey, serverKey)
}

/** Another address, or another way to verify it, is another member. */
function idOf(address: SiblingAddress): string {
  return JSON.stringify(address)
}
