// All fuzz targets.

import type { FuzzTarget } from './target.ts'
import { ACCEPTOR_TARGETS } from './targets/acceptors.ts'
import { ACME_TARGETS } from './targets/acme.ts'
import { ADMISSION_TARGETS } from './targets/admission.ts'
import { ADDRESS_TARGETS } from './targets/addresses.ts'
import { BRIDGE_TARGETS } from './targets/bridge.ts'
import { FRAME_TARGETS } from './targets/frames.ts'
import { HTTP_TARGETS } from './targets/http.ts'
import { LANE_TARGETS } from './targets/lane.ts'
import { LIVE_TARGETS } from './targets/live.ts'
import { SETTINGS_TARGETS } from './targets/settings.ts'
import { TLS_TARGETS } from './targets/tls.ts'

export const TARGETS: readonly FuzzTarget[] = [
  ...BRIDGE_TARGETS,
  ...FRAME_TARGETS,
  ...HTTP_TARGETS,
  ...ADDRESS_TARGETS,
  ...SETTINGS_TARGETS,
  ...ADMISSION_TARGETS,
  ...ACME_TARGETS,
  ...LANE_TARGETS,
  ...LIVE_TARGETS,
  ...TLS_TARGETS,
  ...ACCEPTOR_TARGETS,
]

export function targetNamed(name: string): FuzzTarget {
  const target = TARGETS.find((one) => one.name === name)
  if (target === undefined) {
    throw new Error(`${name}: no such parser; there are ${TARGETS.map((one) => one.name).join(', ')}`)
  }
  return target
}
