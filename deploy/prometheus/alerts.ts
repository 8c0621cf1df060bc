// Every group of alerts.

import { RELAY_ALERTS } from './relay-alerts.ts'
import type { RuleGroup } from './rule.ts'

export const ALERT_GROUPS: readonly RuleGroup[] = [RELAY_ALERTS]
