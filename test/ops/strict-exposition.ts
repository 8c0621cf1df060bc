// Strict parsers of the classic text format and of OpenMetrics. They follow the specifications to the letter and throw on
// any deviation, so every scraper accepts a text that these parsers accept. They return the samples by name and labels.

export interface ParsedFamily {
  readonly name: string
  type: string
  help: string | undefined
  /** By `name{label="value"}` with labels in their written order. */
  readonly samples: Map<string, number>
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"/
const NUMBER = /^(?:[+-]?Inf|NaN|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/
const HISTOGRAM_SUFFIX = /_(?:bucket|sum|count)$/

export function parseClassic(text: string): Map<string, ParsedFamily> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  const families = new Map<string, ParsedFamily>()
  let current: ParsedFamily | undefined
  for (const line of text.slice(0, -1).split('\n')) {
    const [, keyword, name, rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? []
    const sampleName = NAME.exec(line)?.[0] ?? ''
    const familyName =
      name ?? (current?.type === 'histogram' ? sampleName.replace(HISTOGRAM_SUFFIX, '') : sampleName)
    if (familyName === '') throw new Error(`neither a comment nor a sample: ${line}`)
    if (current?.name !== familyName) current = begin(families, familyName)
    if (keyword === 'HELP') current.help = once(current.help, rest, line)
    else if (keyword === 'TYPE') current.type = once(current.type || undefined, rest, line)
    else addSample(current, line)
  }
  for (const family of families.values()) checkFamily(family, family.name)
  return families
}

export function parseOpenMetrics(text: string): Map<string, ParsedFamily> {
  if (!text.endsWith('\n# EOF\n')) throw new Error('no # EOF at the end')
  const families = new Map<string, ParsedFamily>()
  let current: ParsedFamily | undefined
  for (const line of text.slice(0, -'\n# EOF\n'.length).split('\n')) {
    const [, keyword, name, rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? []
    if (name !== undefined && current?.name !== name) current = begin(families, name)
    if (current === undefined) throw new Error(`a sample without a family: ${line}`)
    if (keyword === 'HELP') current.help = once(current.help, rest, line)
    else if (keyword === 'TYPE') current.type = once(current.type || undefined, rest, line)
    else addSample(current, line)
  }
  for (const family of families.values()) {
    if (family.name.endsWith('_total')) throw new Error(`${family.name} is the name of a counter's sample`)
    const sampleName = family.type === 'counter' ? `${family.name}_total` : family.name
    checkFamily(family, sampleName)
  }
  return families
}

/** The series of all families. */
export function allSeries(families: ReadonlyMap<string, ParsedFamily>): Map<string, number> {
  const all = new Map<string, number>()
  for (const { samples } of families.values()) {
    for (const [series, value] of samples) all.set(series, value)
  }
  return all
}

function begin(families: Map<string, ParsedFamily>, name: string): ParsedFamily {
  if (families.has(name)) throw new Error(`${name} occurs in two places`)
  const family: ParsedFamily = { name, type: '', help: undefined, samples: new Map() }
  families.set(name, family)
  return family
}

function once(before: string | undefined, now: string, line: string): string {
  if (before !== undefined) throw new Error(`repeated: ${line}`)
  return now
}

function addSample({ samples }: ParsedFamily, line: string): void {
  const name = NAME.exec(line)?.[0]
  if (name === undefined) throw new Error(`no name: ${line}`)
  let rest = line.slice(name.length)
  if (rest.startsWith('{')) rest = afterLabels(rest, line)
  const series = line.slice(0, line.length - rest.length)
  if (!rest.startsWith(' ') || !NUMBER.test(rest.slice(1))) throw new Error(`no number: ${line}`)
  if (samples.has(series)) throw new Error(`duplicate sample: ${line}`)
  samples.set(series, numberOf(rest.slice(1)))
}

function afterLabels(text: string, line: string): string {
  const seen = new Set<string>()
  let rest = text.slice(1)
  for (;;) {
    const [all, name] = LABEL.exec(rest) ?? []
    if (all === undefined || name === undefined || seen.has(name)) throw new Error(`bad labels: ${line}`)
    seen.add(name)
    rest = rest.slice(all.length)
    if (rest.startsWith('}')) return rest.slice(1)
    if (!rest.startsWith(',')) throw new Error(`bad labels: ${line}`)
    rest = rest.slice(1)
  }
}

function numberOf(text: string): number {
  return Number(text.replace('Inf', 'Infinity'))
}

function checkFamily({ name, type, samples }: ParsedFamily, sampleName: string): void {
  if (samples.size === 0) throw new Error(`${name} has no samples`)
  if (!['counter', 'gauge', 'histogram', 'unknown', ''].includes(type))
    throw new Error(`${name} is a ${type}`)
  for (const [series, value] of samples) {
    const own = NAME.exec(series)?.[0]
    const isFit = type === 'histogram' ? own?.replace(HISTOGRAM_SUFFIX, '') === name : own === sampleName
    if (!isFit) throw new Error(`${series} does not belong to ${name}`)
    if (type === 'counter' && !(value >= 0)) throw new Error(`${series} is ${value}`)
  }
  if (type === 'histogram') checkHistogram(name, samples)
}

/** Checks each set of labels: bounds and counts rise, and the last bound is +Inf with the total count. */
function checkHistogram(name: string, samples: ReadonlyMap<string, number>): void {
  const others = new Map<string, { bound: number; count: number }>()
  for (const [series, count] of samples) {
    if (!series.startsWith(`${name}_bucket{`)) continue
    const le = /le="([^"]+)"/.exec(series)?.[1] ?? ''
    const rest = series.replace(/le="[^"]+",?/, '').replace(',}', '}')
    const before = others.get(rest) ?? { bound: -Infinity, count: 0 }
    if (!(numberOf(le) > before.bound) || count < before.count) throw new Error(`${series} is out of order`)
    others.set(rest, { bound: numberOf(le), count })
  }
  if (others.size === 0) throw new Error(`${name} has no buckets`)
  for (const [rest, last] of others) {
    const totalOf = (suffix: string): string => rest.replace(/_bucket(?=\{)/, suffix).replace('{}', '')
    if (last.bound !== Infinity || samples.get(totalOf('_count')) !== last.count)
      throw new Error(`${rest} does not add up`)
    if (!samples.has(totalOf('_sum'))) throw new Error(`${rest} has no sum`)
  }
}
