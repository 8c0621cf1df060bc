// A row of the table from counters of the relay threads to metric families: what a metric is called, and which counter is behind each
// combination of its labels. The table is `relay-families.ts`.

import type { Counters, PlainCounter } from '#relay/counters.ts'
import type { Labels } from './metric-family.ts'

/** A counter by name, or a number computed from several counters. */
export type CounterReading = PlainCounter | ((counters: Counters) => number)

export interface Row {
  readonly name: string
  readonly type: 'counter' | 'gauge'
  readonly help: string
  readonly readings: readonly (readonly [labels: Labels, reading: CounterReading])[]
}

/** One reading without labels. */
export const plain = (reading: CounterReading): Row['readings'] => [[{}, reading]]

/** One label, with a reading for each of its values. */
export const by = (label: string, readings: Readonly<Record<string, CounterReading>>): Row['readings'] =>
  Object.entries(readings).map(([value, reading]) => [{ [label]: value }, reading])

export const counter = (name: string, help: string, readings: Row['readings']): Row => ({
  name,
  type: 'counter',
  help,
  readings,
})
export const gauge = (name: string, help: string, readings: Row['readings']): Row => ({
  name,
  type: 'gauge',
  help,
  readings,
})
