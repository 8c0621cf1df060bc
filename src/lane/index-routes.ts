// Whom a WireGuard message is for, by the session index that its receiver has chosen: noted when handshakes pass, and good for one
// sender only. Two members may choose the same index.
//
// Contract: bounded. A member can fill ROUTES_PER_LINK_MAX entries for each of its links, and four of one index.

import type { IndexRoute, Link, Member } from './member.ts'

/** A session and the handshakes after it; WireGuard tries one eighteen times. */
const ROUTES_PER_LINK_MAX = 24
const ROUTES_PER_INDEX_MAX = 4
/** A session lives three minutes from its handshake, which may take a moment. */
const LIFE_MS = 200_000

export class IndexRoutes {
  readonly #byIndex = new Map<number, IndexRoute[]>()
  #size = 0

  get size(): number {
    return this.#size
  }

  *[Symbol.iterator](): Generator<IndexRoute> {
    for (const routes of this.#byIndex.values()) yield* routes
  }

  /** The link's owner has chosen the index for a session with the link's peer. Returns whether that is new. */
  note(index: number, link: Link, nowMs: number, usedAtMs = nowMs): boolean {
    const routes = this.#byIndex.get(index) ?? []
    const known = routes.find((one) => one.link === link)
    if (known !== undefined) {
      known.usedAtMs = usedAtMs
      return false
    }
    if (routes.length >= ROUTES_PER_INDEX_MAX) return false
    if (link.routes.length >= ROUTES_PER_LINK_MAX) this.#drop(leastUsed(link.routes))
    const route = { index, link, notedAtMs: nowMs, usedAtMs }
    // Dropping one may have emptied the list.
    const list = this.#byIndex.get(index) ?? routes
    list.push(route)
    this.#byIndex.set(index, list)
    link.routes.push(route)
    this.#size++
    return true
  }

  /** Where a message with that index goes if `sender` has sent it. */
  find(index: number, sender: Member): IndexRoute | undefined {
    const routes = this.#byIndex.get(index)
    if (routes === undefined) return undefined
    for (const route of routes) if (route.link.peer === sender) return route
    return undefined
  }

  /** The same if it is not known who has sent it; undefined, too, if that could be several members. */
  only(index: number): IndexRoute | undefined {
    const routes = this.#byIndex.get(index)
    return routes?.length === 1 ? routes[0] : undefined
  }

  /** Forgets sessions that are too old, and those of links that are none any more. */
  sweep(nowMs: number): void {
    for (const routes of this.#byIndex.values()) {
      for (const route of routes.slice()) {
        const { owner, peer } = route.link
        if (nowMs - route.notedAtMs > LIFE_MS || owner.links.get(peer) !== route.link) this.#drop(route)
      }
    }
  }

  #drop(route: IndexRoute | undefined): void {
    if (route === undefined) return
    const { index, link } = route
    link.routes.splice(link.routes.indexOf(route), 1)
    const routes = this.#byIndex.get(index)
    routes?.splice(routes.indexOf(route), 1)
    if (routes?.length === 0) this.#byIndex.delete(index)
    this.#size--
  }
}

function leastUsed(routes: readonly IndexRoute[]): IndexRoute | undefined {
  return routes.reduce<IndexRoute | undefined>(
    (least, one) => (least === undefined || one.usedAtMs < least.usedAtMs ? one : least),
    undefined,
  )
}
