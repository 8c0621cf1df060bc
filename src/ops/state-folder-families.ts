// The metric that tells whether the relay can use its state folder: a full or read-only disk is seen there first.

import { sample, type MetricFamily } from './metric-family.ts'

/** @param isUsable undefined for a relay that has no state folder */
export function stateFolderFamilies(isUsable: boolean | undefined): MetricFamily[] {
  return [
    {
      name: 'derp_state_folder_usable',
      type: 'gauge',
      help: '0 if the relay could not use its state folder at the start and serves without it, else 1.',
      samples: isUsable === undefined ? [] : [sample(Number(isUsable))],
    },
  ]
}
