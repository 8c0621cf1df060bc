// Metric families as text, in the two formats that Prometheus reads: classic (version 0.0.4) and OpenMetrics 1.0.0.
// prom-client's registry is not used for this: after its first OpenMetrics page it drops `_total` from counter names for
// good, and it writes bucket bounds and NaN in forms that strict parsers refuse.

import type { MetricFamily, MetricType, Sample } from './metric-family.ts'

export type ExpositionFormat = 'classic' | 'openMetrics'

export const EXPOSITION_CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  classic: 'text/plain; version=0.0.4; charset=utf-8',
  openMetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
}

const OPEN_METRICS_TYPES: Readonly<Record<MetricType, string>> = {
  counter: 'counter',
  gauge: 'gauge',
  histogram: 'histogram',
  untyped: 'unknown',
}

const TOTAL = '_total'

/** The families in the given format. A family without samples is left out. */
export function writeExposition(families: readonly MetricFamily[], format: ExpositionFormat): string {
  const present = families.filter(({ samples }) => samples.length > 0)
  if (format === 'classic') return present.map(classicFamily).join('')
  return `${present.map(openMetricsFamily).join('')}# EOF\n`
}

/** The format that an `Accept` header prefers; classic if it names neither format, or is missing (RFC 9110 §12.5.1). */
export function acceptedFormat(accept: string | undefined): ExpositionFormat {
  let openMetrics = 0
  let classic = 0
  for (const range of (accept ?? '').split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    const quality = qualityOf(parameters)
    if (type === 'application/openmetrics-text' && hasVersion(parameters)) {
      openMetrics = Math.max(openMetrics, quality)
    } else if (type === 'text/plain' || type === 'text/*') {
      classic = Math.max(classic, quality)
    }
  }
  return openMetrics > 0 && openMetrics >= classic ? 'openMetrics' : 'classic'
}

function qualityOf(parameters: readonly string[]): number {
  const text = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2)
  if (text === undefined) return 1
  const quality = Number(text)
  return quality >= 0 && quality <= 1 ? quality : 0
}

/** Whether version 1.0.0 is acceptable. No version parameter means any version. */
function hasVersion(parameters: readonly string[]): boolean {
  const version = parameters.find((parameter) => parameter.startsWith('version='))
  return version === undefined || version === 'version=1.0.0'
}

function classicFamily({ name, type, help, samples }: MetricFamily): string {
  const head =
    (help === '' ? '' : `# HELP ${name} ${escapeHelp(help)}\n`) +
    (type === 'untyped' ? '' : `# TYPE ${name} ${type}\n`)
  return head + samples.map((sample) => line(name, sample, sample.labels.le)).join('')
}

function openMetricsFamily({ name, type, help, samples }: MetricFamily): string {
  const isCounter = type === 'counter'
  const familyName = isCounter && name.endsWith(TOTAL) ? name.slice(0, -TOTAL.length) : name
  const sampleName = isCounter ? familyName + TOTAL : name
  const head =
    `# TYPE ${familyName} ${OPEN_METRICS_TYPES[type]}\n` +
    (help === '' ? '' : `# HELP ${familyName} ${escapeText(help)}\n`)
  return head + samples.map((sample) => line(sampleName, sample, canonicalBound(sample.labels.le))).join('')
}

/** OpenMetrics writes every bound with a fraction, so that 1 and 1.0 never become two series. */
function canonicalBound(bound: string | undefined): string | undefined {
  return bound !== undefined && /^\d+$/.test(bound) ? `${bound}.0` : bound
}

function line(name: string, { suffix, labels, value }: Sample, bound: string | undefined): string {
  const parts = Object.entries(labels).map(
    ([label, text]) => `${label}="${escapeText(label === 'le' ? (bound ?? text) : text)}"`,
  )
  return `${name}${suffix}${parts.length === 0 ? '' : `{${parts.join(',')}}`} ${numberText(value)}\n`
}

function numberText(value: number): string {
  if (value === Infinity) return '+Inf'
  return value === -Infinity ? '-Inf' : String(value)
}

/** The classic format does not escape quotes in help texts. */
function escapeHelp(text: string): string {
  // Most texts have nothing to escape, and looking is cheaper than replacing.
  if (!text.includes('\\') && !text.includes('\n')) return text
  return text.replaceAll('\\', String.raw`\\`).replaceAll('\n', String.raw`\n`)
}

function escapeText(text: string): string {
  const escaped = escapeHelp(text)
  return escaped.includes('"') ? escaped.replaceAll('"', String.raw`\"`) : escaped
}
