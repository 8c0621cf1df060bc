// How a Tailscale client chooses its home from latencies, as a model of its own for tests of the scores: rule by rule from
// the client's description, in its integer nanoseconds. One report is all of the history, so the best latency is the last.

export interface Choice {
  /** The home before; undefined for a client that starts. */
  readonly home: string | undefined
  /** By region, in nanoseconds. */
  readonly latencies: Readonly<Record<string, number>>
  /** Missing: 1. */
  readonly scores: Readonly<Record<string, number>>
}

export const MS = 1_000_000

/** The home after a report in which all regions answered. */
export function homeAfter({ home, latencies, scores }: Choice): string {
  const scaled = Object.entries(latencies).map(
    ([region, latency]) => [region, Math.trunc(latency * (scores[region] ?? 1))] as const,
  )
  const [first = ['', 0] as const, ...rest] = scaled
  const [nearest, best] = rest.reduce((least, one) => (one[1] < least[1] ? one : least), first)
  const current = scaled.find(([region]) => region === home)?.[1]
  if (home === undefined || current === undefined || nearest === home) return nearest
  if (current - best < 10 * MS) return home
  return best > Math.trunc(current / 3) * 2 ? home : nearest
}
