// Expressions that panels have in common, with the variables of the boards.

/** Adds the region and the node of the relay to a vector with one series for each. */
export function named(expr: string): string {
  return `${expr} * on (job, instance) group_left (region, node) derp_relay_info{job=~"$job"}`
}

/** A quantile of a histogram of all relays. @param by the labels that remain */
export function quantileBy(share: number, metric: string, by: string): string {
  return `histogram_quantile(${share}, sum by (${by}, le) (rate(${metric}_bucket{job=~"$job"}[$__rate_interval])))`
}

/** A metric of the relay that is chosen. */
export function of(metric: string, ...more: readonly string[]): string {
  return `${metric}{${['job=~"$job"', 'instance=~"$instance"', ...more].join(',')}}`
}

/** Its rate in a second. */
export function rate(metric: string, ...more: readonly string[]): string {
  return `rate(${of(metric, ...more)}[$__rate_interval])`
}

/** A quantile of its histogram. @param by further labels, each with a comma behind it */
export function quantile(share: number, metric: string, by = ''): string {
  return `histogram_quantile(${share}, sum by (${by}le) (${rate(`${metric}_bucket`)}))`
}
