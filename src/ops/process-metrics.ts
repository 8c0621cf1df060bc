// What prom-client knows of the process: CPU, memory, files, garbage collection, event loop lag. Memory, CPU and files
// are the whole process's, the rest the control thread's alone, since that is where this is made; how busy the relay
// threads are is `derp_thread_*`. One per process: the watchers that prom-client starts are never stopped.

import { collectDefaultMetrics, Registry } from 'prom-client'
import { type MetricFamily, type MetricType, type Sample } from './metric-family.ts'

/** To measure these wakes the process a hundred times a second, which is most of what it does when idle. */
const DELAYS = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'].map(
  (name) => `nodejs_eventloop_lag_${name}_seconds`,
)
/** They can't be switched off, but be measured next to never. */
const DELAYS_EVERY_MS = 86_400_000

/** Left out: totals of other metrics whose names pass for counters', private Node calls, and what is not measured. */
const UNWANTED = [
  'nodejs_active_resources_total',
  'nodejs_active_handles',
  'nodejs_active_handles_total',
  'nodejs_active_requests',
  'nodejs_active_requests_total',
  ...DELAYS,
]

export class ProcessMetrics {
  readonly #registry = new Registry()

  constructor() {
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: DELAYS_EVERY_MS })
    for (const name of UNWANTED) this.#registry.removeSingleMetric(name)
  }

  async families(): Promise<MetricFamily[]> {
    return (await this.#registry.getMetricsAsJSON()).map((metric) => ({
      name: metric.name,
      type: familyType(String(metric.type)),
      help: metric.help,
      samples: metric.values.map((value) => toSample(metric.name, value)),
    }))
  }
}

function familyType(text: string): MetricType {
  return text === 'counter' || text === 'gauge' || text === 'histogram' ? text : 'untyped'
}

function toSample(
  family: string,
  value: { readonly value: number; readonly labels: object; readonly metricName?: string },
): Sample {
  const labels: Record<string, string> = {}
  for (const [name, label] of Object.entries(value.labels)) {
    labels[name] = label === Infinity ? '+Inf' : String(label)
  }
  return { suffix: suffixOf(value.metricName?.slice(family.length)), labels, value: value.value }
}

function suffixOf(text: string | undefined): Sample['suffix'] {
  return text === '_bucket' || text === '_sum' || text === '_count' ? text : ''
}
