// What differs between two DERP maps, one line for each difference, as clients notice it: a client closes its connections
// to every region whose entry differs in anything, and goes to the region anew.

import { canonicalJson, type Json } from './canonical-json.ts'
import { regionJson } from './derp-map-writer.ts'
import type { Region } from './region.ts'

/** The maps with the scores that they give to regions; a region without one has the score 1. */
export interface ScoredMap {
  readonly regions: readonly Region[]
  readonly scores: ReadonlyMap<number, number>
}

export interface MapChange {
  /** Undefined: it is not in the region's entry, and no client reconnects. */
  readonly reconnects: number | undefined
  readonly text: string
}

type Entry = { readonly [name: string]: Json | undefined }

export function mapChanges(before: ScoredMap, after: ScoredMap): readonly MapChange[] {
  const [old, next] = [entries(before.regions), entries(after.regions)]
  const ids = [...new Set([...old.keys(), ...next.keys()])].sort((a, b) => a - b)
  return ids.flatMap((id): readonly MapChange[] => {
    const changes = regionChanges(id, old.get(id), next.get(id)).map((text) => ({ reconnects: id, text }))
    return scoreChanges(id, before.scores.get(id) ?? 1, after.scores.get(id) ?? 1).concat(changes)
  })
}

function entries(regions: readonly Region[]): ReadonlyMap<number, Entry> {
  return new Map(regions.map((region) => [region.id, regionJson(region)]))
}

function regionChanges(id: number, old: Entry | undefined, next: Entry | undefined): readonly string[] {
  if (old === undefined) return [`+ region ${id}: ${shown(next)}`]
  if (next === undefined) return [`- region ${id}: ${shown(old)}`]
  const [oldNodes, nextNodes] = [nodesOf(old), nodesOf(next)]
  const names = [...new Set([...oldNodes.keys(), ...nextNodes.keys()])]
  const kept = (nodes: ReadonlyMap<string, Entry>): string =>
    [...nodes.keys()].filter((name) => oldNodes.has(name) && nextNodes.has(name)).join(', ')
  return [
    ...fieldChanges(`~ region ${id}`, { ...old, Nodes: null }, { ...next, Nodes: null }),
    ...names.flatMap((name) => nodeChanges(id, name, [oldNodes.get(name), nextNodes.get(name)])),
    ...(kept(oldNodes) === kept(nextNodes)
      ? []
      : [`~ region ${id}: order of nodes ${kept(oldNodes)} -> ${kept(nextNodes)}`]),
  ]
}

function nodeChanges(
  id: number,
  name: string,
  [old, next]: readonly [Entry | undefined, Entry | undefined],
): readonly string[] {
  const where = `region ${id}, node ${name}`
  if (old === undefined) return [`+ ${where}: ${shown(next)}`]
  if (next === undefined) return [`- ${where}: ${shown(old)}`]
  return fieldChanges(`~ ${where}`, old, next)
}

function fieldChanges(where: string, old: Entry, next: Entry): readonly string[] {
  const names = [...new Set([...Object.keys(old), ...Object.keys(next)])]
  return names
    .filter((name) => shown(old[name]) !== shown(next[name]))
    .map((name) => `${where}: ${name} ${shown(old[name])} -> ${shown(next[name])}`)
}

function scoreChanges(id: number, old: number, next: number): readonly MapChange[] {
  return old === next ? [] : [{ reconnects: undefined, text: `~ region ${id}: score ${old} -> ${next}` }]
}

function nodesOf({ Nodes: nodes }: Entry): ReadonlyMap<string, Entry> {
  const all = (Array.isArray(nodes) ? nodes : []) as readonly Entry[]
  return new Map(all.map((node) => [typeof node.Name === 'string' ? node.Name : '', node]))
}

function shown(value: Json | undefined): string {
  return value === undefined ? '(absent)' : canonicalJson(value)
}
