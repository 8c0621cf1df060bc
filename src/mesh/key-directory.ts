// The key directory: where home keys are in the whole fleet, for fleets in which not every relay can know every key. The
// alternative is presence from all siblings (route-table.ts), which needs nothing beside the relays themselves. The
// control thread uses it. Locations are hints: the relay that is named checks the whole key.

/** At a relay; nowhere for certain; or not known at the moment, and worth a new lookup soon. */
export type KeyLocation =
  | { readonly kind: 'at'; readonly relay: string }
  | { readonly kind: 'nowhere' }
  | { readonly kind: 'unknown' }

/** Relay names are the siblings' names: `host` or `host:port`. Keys are 32 bytes. */
export interface KeyDirectory {
  /** This relay is the key's home from now on. */
  announce(key: Uint8Array): void
  /** The key has left, or its home is another relay. */
  withdraw(key: Uint8Array): void
  /** Calls `found` once, at once or within a short time limit. */
  locate(key: Uint8Array, found: (location: KeyLocation) => void): void
  /**
   * Calls `moved` with each relay that announces the key, and with undefined when a relay withdraws it; the key may
   * still be at another relay then. Returns the function that ends the watch.
   */
  watch(key: Uint8Array, moved: (relay: string | undefined) => void): () => void
}
