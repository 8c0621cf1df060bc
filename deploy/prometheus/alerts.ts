// Every group of alerts but those of objectives.

import { ACCESS_ALERTS } from './access-alerts.ts'
import { LOAD_ALERTS } from './load-alerts.ts'
import { MESH_ALERTS } from './mesh-alerts.ts'
import { RELAY_ALERTS } from './relay-alerts.ts'
import type { RuleGroup } from './rule.ts'

export const ALERT_GROUPS: readonly RuleGroup[] = [RELAY_ALERTS, MESH_ALERTS, LOAD_ALERTS, ACCESS_ALERTS]
