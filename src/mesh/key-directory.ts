// Where home keys are in the whole fleet, for fleets in which not every relay can hear of every key. The alternative
// to watching all siblings (route-table.ts), which needs nothing beside the relays themselves. Answers are hints: the
// relay that is named checks the whole key.

/** Where a key is: at a relay; nowhere, which is known; or that can't be said now, and may be asked again soon. */
export type KeyLocation =
  | { readonly kind: 'at'; readonly relay: string }
  | { readonly kind: 'nowhere' }
  | { readonly kind: 'unknown' }

/** Names are those of members of the mesh: `host` or `host:port`. Keys are 32 bytes. */
export interface KeyDirectory {
  /** A key has noted this relay as its home. */
  announce(key: Uint8Array): void
  /** It has left, or its home is elsewhere. */
  withdraw(key: Uint8Array): void
  /** Calls back once. Never long. */
  locate(key: Uint8Array, found: (where: KeyLocation) => void): void
  /**
   * Calls back whenever a relay announces the key, or, with undefined, withdraws it; until what is returned is called.
   * Who has withdrawn it may not have been the only one to have it.
   */
  watch(key: Uint8Array, moved: (relay: string | undefined) => void): () => void
}
