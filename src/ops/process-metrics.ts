// prom-client's metrics of the process: CPU, memory, files, garbage collection, event loop lag. CPU, memory and files are
// those of the whole process. The rest covers only the control thread, where this object is created; the load of the
// relay threads is `derp_thread_*`. One object per process: the observers that prom-client starts never stop.

import { totalmem } from 'node:os'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { sample, type MetricFamily, type MetricType, type Sample } from './metric-family.ts'

/** Measuring these wakes the process a hundred times a second, which is most of the work of an idle relay. */
const DELAYS = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'].map(
  (name) => `nodejs_eventloop_lag_${name}_seconds`,
)
/** prom-client can't switch the measurement off, so its interval is one day. */
const DELAYS_EVERY_MS = 86_400_000

/** Left out: gauges with counter names (`_total`), metrics from private Node calls, and the lags above. */
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
    const families = (await this.#registry.getMetricsAsJSON()).map((metric) => ({
      name: metric.name,
      type: familyType(String(metric.type)),
      help: metric.help,
      samples: metric.values.map((value) => toSample(metric.name, value)),
    }))
    return [...families, memoryLimit()]
  }
}

/** Both may change while the process runs. Without a limit, Node returns zero or more than the machine has. */
function memoryLimit(): MetricFamily {
  return {
    name: 'process_memory_limit_bytes',
    type: 'gauge',
    help: "Memory that this process may use: its control group's limit, or the machine's memory.",
    samples: [sample(Math.min(totalmem(), process.constrainedMemory() || Infinity))],
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
