// Answers which region is nearest, from the fleet's state and the countries of addresses: `/regions` and `/fleet/regions`. Runs
// on the control thread.
//
// Contract: the work is bounded, however often it is asked: the numbers are put together once a second at most, and each
// country's answer is written once for them.

import type { FleetState } from '#fleet/fleet-state.ts'
import { fitPathModel, type PathModel } from '#fleet/path-model.ts'
import { regionNumbers, type RegionNumbers } from '#fleet/region-numbers.ts'
import { rankRegions, type RankedRegion } from '#fleet/region-ranking.ts'
import type { Region } from '#fleet/region.ts'
import type { RegionsSource } from '#ops/region-pages.ts'
import { ipToBytes } from '#protocol/ip-address.ts'

/** Relays tell their state every five seconds; a drain is to be seen at once. */
const KEPT_MS = 1_000
/** There are 250 countries, and `not known`; for operators, and for everyone. */
const ANSWERS_MAX = 2 * 251

export interface RegionsServiceParts {
  /** The regions of the file in use. */
  readonly regions: () => readonly Region[]
  readonly fleet: () => FleetState
  /** The country of an address in sixteen bytes; undefined: not known. */
  readonly countryOf: (ip: Uint8Array) => Promise<string | undefined>
  /** Monotonic milliseconds. */
  readonly now: () => number
}

interface View {
  readonly atMs: number
  readonly file: readonly Region[]
  readonly numbers: readonly RegionNumbers[]
  readonly model: PathModel
  /** By country and audience. */
  readonly answers: Map<string, string>
}

export class RegionsService implements RegionsSource {
  readonly #parts: RegionsServiceParts
  #view: View | undefined = undefined

  constructor(parts: RegionsServiceParts) {
    this.#parts = parts
  }

  async rankingFor(ip: string): Promise<string> {
    return this.#ranking(await this.#parts.countryOf(ipToBytes(ip)), true)
  }

  /** The same for everyone: without the numbers of clients. @param ip sixteen bytes */
  async publicRankingFor(ip: Uint8Array): Promise<string> {
    return this.#ranking(await this.#parts.countryOf(ip), false)
  }

  #ranking(country: string | undefined, hasCounts: boolean): string {
    const { numbers, model, answers } = this.#now()
    const key = `${country ?? ''} ${hasCounts}`
    const known = answers.get(key)
    if (known !== undefined) return known
    const { regions, unavailable } = rankRegions(country, numbers, model)
    const content = hasCounts
      ? { country: country ?? null, model: rounded(model), regions, unavailable }
      : { country: country ?? null, regions: regions.map(withoutCounts), unavailable }
    const text = `${JSON.stringify(content)}\n`
    if (answers.size < ANSWERS_MAX) answers.set(key, text)
    return text
  }

  numbers(): string {
    const { numbers, model } = this.#now()
    return `${JSON.stringify({ model: rounded(model), regions: numbers })}\n`
  }

  #now(): View {
    const { regions, fleet, now } = this.#parts
    const [file, atMs] = [regions(), now()]
    const known = this.#view
    if (known !== undefined && known.file === file && atMs - known.atMs < KEPT_MS) return known
    const numbers = regionNumbers(file, fleet())
    this.#view = { atMs, file, numbers, model: fitPathModel(numbers), answers: new Map() }
    return this.#view
  }
}

function withoutCounts(ranked: RankedRegion): Omit<RankedRegion, 'clients'> {
  const { rank, id, code, name, reason, roundTripMs, distanceKm } = ranked
  return { rank, id, code, name, reason, roundTripMs, distanceKm }
}

/** Digits that mean something. */
function rounded({ baseMs, msPerKm, pairs }: PathModel): PathModel {
  return { baseMs: Math.round(baseMs * 10) / 10, msPerKm: Math.round(msPerKm * 10_000) / 10_000, pairs }
}
