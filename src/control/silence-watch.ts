// Finds out that a thread hangs: it counts its sweeps in shared memory, and is silent if that number stays. Looks rather than time are
// counted, so that a machine that slept accuses nobody. What follows is the owner's part. For threads that exist once; relay
// threads are watched together (ops/thread-watch.ts).

/** The thread reports that it runs at every second look; after so many looks without a report it counts as hung. */
const HUNG_LOOKS = 20

export class SilenceWatch {
  #sweeps = 0
  #silentLooks = 0

  /**
   * To be called every second. Returns the fault of a thread that counts as hung since this look.
   * @param sweeps that the thread has counted; undefined: there is no thread
   */
  look(sweeps: number | undefined): Error | undefined {
    const isSilent = sweeps !== undefined && sweeps === this.#sweeps
    this.#sweeps = sweeps ?? this.#sweeps
    this.#silentLooks = isSilent ? this.#silentLooks + 1 : 0
    return this.#silentLooks === HUNG_LOOKS
      ? new Error(`no sign of life for ${this.#silentLooks} s`)
      : undefined
  }
}
