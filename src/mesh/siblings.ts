// The siblings of one relay thread, with a link to each. The control thread sets the list. A relay that is listed among
// its own siblings, one that is listed twice, and a machine that was copied with its key all present a key that is known
// here; the run of the relay that they name distinguishes these cases.

import { bytesEqual } from '#protocol/bytes.ts'
import type { Sibling } from '#fleet/sibling.ts'
import type { SiblingReport } from './sibling-report.ts'
import { SiblingLink, type DuplicateSibling, type LinkOwner, type SiblingLinkParts } from './sibling-link.ts'
import type { SiblingLogin } from './sibling-login.ts'

export interface SiblingsParts extends Omit<SiblingLinkParts, 'owner'> {
  /** Called when the state of a link has changed. */
  readonly onChange: (link: SiblingLink) => void
}

const OWN_KEY_ADVICE = 'make one of the two a key of its own (derpfleet keygen -o FILE)'

export class Siblings implements LinkOwner {
  readonly #parts: SiblingsParts
  readonly #links = new Map<string, SiblingLink>()
  /** Links to former siblings, until their connections have ended and their last reports were read. */
  readonly #ending = new Set<SiblingLink>()
  #linkCount = 0

  constructor(parts: SiblingsParts) {
    this.#parts = parts
  }

  /** Replaces the list. Links to siblings that stay are kept. */
  setSiblings(siblings: readonly Sibling[]): void {
    const wanted = new Map(siblings.map((sibling) => [idOf(sibling), sibling]))
    const leaving = [...this.#links].filter(([id]) => !wanted.has(id))
    for (const [id, link] of leaving) {
      this.#links.delete(id)
      this.#ending.add(link)
    }
    for (const [, link] of leaving) link.close()
    for (const [id, sibling] of wanted) {
      if (this.#links.has(id)) continue
      const link = new SiblingLink(sibling, this.#linkCount++, { ...this.#parts, owner: this })
      this.#links.set(id, link)
      link.open()
    }
  }

  isDuplicate(link: SiblingLink, serverKey: Uint8Array): boolean {
    return this.#isOwn(serverKey) || this.#otherTo(link, serverKey) !== undefined
  }

  identify(link: SiblingLink, { serverKey, instance }: SiblingLogin): DuplicateSibling | undefined {
    const { name, instance: own } = this.#parts.identity
    if (this.#isOwn(serverKey)) {
      if (instance === own) return { state: 'self', why: '' }
      return { state: 'copied', why: `has the key of this relay, ${name}, too; ${OWN_KEY_ADVICE}` }
    }
    const other = this.#otherTo(link, serverKey)
    // The other link has ended meanwhile. As an alias, this link takes its place (see `changed`).
    if (other === undefined) return { state: 'alias', why: '' }
    const otherLogin = other.login
    if (otherLogin?.isProven !== true) return undefined
    if (instance === otherLogin.instance) return { state: 'alias', why: '' }
    return { state: 'copied', why: `has the key of ${other.sibling.name}, too; ${OWN_KEY_ADVICE}` }
  }

  changed(link: SiblingLink): void {
    this.#parts.onChange(link)
    if (link.login !== undefined || (link.state !== 'waiting' && link.state !== 'closed')) return
    // The relay that was lost may still be reached by another of its names.
    for (const other of this.#links.values()) if (other.state === 'alias') other.wake()
  }

  sweep(nowMs: number): void {
    for (const link of this.#links.values()) link.sweep(nowMs)
  }

  /** Includes former siblings until their last numbers have been reported. */
  reports(): readonly SiblingReport[] {
    const links = [...this.#links.values(), ...this.#ending]
    const reports = links.map((link) => link.report())
    for (const link of this.#ending) if (link.isOver) this.#ending.delete(link)
    return reports
  }

  byName(name: string): SiblingLink | undefined {
    return [...this.#links.values()].find((link) => link.sibling.name === name)
  }

  /** Sends the frame to the siblings of these names whose link is up. */
  tellState(names: readonly string[], frame: Uint8Array): void {
    const wanted = new Set(names)
    for (const link of this.#links.values()) if (wanted.has(link.sibling.name)) link.tellState(frame)
  }

  /** Names of the nodes in the DERP map that have been reachable for a while. */
  settledNodes(nowMs: number): ReadonlySet<string> {
    const settled = [...this.#links.values()].filter((link) => link.isSettled(nowMs))
    return new Set(settled.flatMap(({ sibling }) => sibling.nodes))
  }

  close(): void {
    this.setSiblings([])
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

/** A different address, or a different way to verify it, makes a different sibling. */
function idOf(sibling: Sibling): string {
  return JSON.stringify(sibling)
}
