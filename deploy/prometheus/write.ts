// Writes the rule files beside this script:
//
//   node deploy/prometheus/write.ts [--job REGEX] [--runbooks URL] [--scale N] [--to FOLDER]
//
// The files that are checked in are those without options. --runbooks is where the pages of docs/runbooks can be read, such as
// https://git.example.com/derpfleet/docs/runbooks; --scale divides all durations.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { copyToChart } from '../helm/write.ts'
import { ALERT_GROUPS } from './alerts.ts'
import { SLO_GROUPS } from './slos.ts'
import { DEFAULT_OPTIONS, rulesText, type RuleGroup, type RuleOptions } from './rule.ts'

const HEADING = '# Written by deploy/prometheus/write.ts; change that folder’s TypeScript, and run it.\n'

const FILES: Readonly<Record<string, readonly RuleGroup[]>> = {
  'derpfleet-alerts.yaml': ALERT_GROUPS,
  'derpfleet-slos.yaml': SLO_GROUPS,
}

/** The texts of all rule files by name. */
export function ruleFiles(options: RuleOptions = DEFAULT_OPTIONS): Readonly<Record<string, string>> {
  const texts = Object.entries(FILES).map(([name, groups]) => [name, HEADING + rulesText(groups, options)])
  return Object.fromEntries(texts) as Record<string, string>
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      job: { type: 'string', default: DEFAULT_OPTIONS.job },
      runbooks: { type: 'string', default: DEFAULT_OPTIONS.runbooks },
      scale: { type: 'string', default: String(DEFAULT_OPTIONS.scale) },
      to: { type: 'string', default: import.meta.dirname },
    },
  })
  const { job, runbooks, scale, to } = values
  const files = ruleFiles({ job, runbooks, scale: Number(scale) })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(to, name), text)
  if (to === import.meta.dirname) copyToChart()
}
