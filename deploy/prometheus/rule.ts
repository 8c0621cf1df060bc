// The vocabulary of Prometheus rules: groups of alerts and of recorded series, and how they are written. No rule is here.
//
// An expression is written with two marks that are replaced when rules are made: JOB, the matcher of the relays' job, and
// durations in brackets, which a scale shortens together with `for`.

import { stringify } from 'yaml'

/**
 * - `critical`: clients are cut off or lose packets now. Wake somebody.
 * - `warning`: it becomes so, or a reserve is gone. Today.
 * - `info`: something to know of.
 */
export type Severity = 'critical' | 'warning' | 'info'

export interface Alert {
  readonly alert: string
  readonly expr: string
  readonly for: string
  readonly severity: Severity
  /** Further labels. */
  readonly labels?: Readonly<Record<string, string>>
  /** What is wrong, and where: one line. */
  readonly summary: string
  /** What it means and what it was found by, with numbers. */
  readonly description: string
}

export interface Recording {
  readonly record: string
  readonly expr: string
  readonly labels?: Readonly<Record<string, string>>
}

export interface RuleGroup {
  readonly name: string
  readonly rules: readonly (Alert | Recording)[]
}

export interface RuleOptions {
  /** The relays' job in Prometheus; a regular expression. */
  readonly job: string
  /** Where the runbook pages are; the page of an alert is below it. */
  readonly runbooks: string
  /** Durations are divided by it: for tests that cannot wait. */
  readonly scale: number
}

export const DEFAULT_OPTIONS: RuleOptions = {
  job: 'derpfleet',
  runbooks: 'docs/runbooks',
  scale: 1,
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }

/** The name of an alert's page: `RelayDown` → `relay-down`. */
export function runbookName(alert: string): string {
  return alert.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase()
}

/** The text of a rule file. */
export function rulesText(groups: readonly RuleGroup[], options: RuleOptions): string {
  const written = groups.map(({ name, rules }) => ({
    name,
    rules: rules.map((rule) => ruleOf(rule, options)),
  }))
  return stringify({ groups: written }, { lineWidth: 0, aliasDuplicateObjects: false })
}

function ruleOf(rule: Alert | Recording, options: RuleOptions): Readonly<Record<string, unknown>> {
  const expr = expressionOf(rule.expr, options)
  if ('record' in rule) return { record: rule.record, expr, ...(rule.labels && { labels: rule.labels }) }
  const { alert, severity, labels = {}, summary, description } = rule
  return {
    alert,
    expr,
    for: scaled(rule.for, options.scale),
    labels: { severity, service: 'derpfleet', ...labels },
    annotations: { summary, description, runbook_url: `${options.runbooks}/${runbookName(alert)}.md` },
  }
}

function expressionOf(expr: string, { job, scale }: RuleOptions): string {
  return expr
    .replaceAll('JOB', `job=~"${job}"`)
    .replaceAll(/\[(\w+)\]/g, (_, window: string) => `[${scaled(window, scale)}]`)
}

/** `5m` → `5s` with a scale of 60. Not below a second. */
function scaled(duration: string, scale: number): string {
  if (scale === 1) return duration
  const [, count = '', unit = ''] = /^(\d+)([smhd])$/.exec(duration) ?? []
  const factor = SECONDS[unit]
  if (factor === undefined) throw new Error(`${duration}: not a number of s, m, h or d`)
  return `${Math.max(duration === '0s' ? 0 : 1, Math.round((Number(count) * factor) / scale))}s`
}
