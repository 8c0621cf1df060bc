// The metric families of the fleet's DERP map.

import { sample, type Labels, type MetricFamily } from './metric-family.ts'

/** A region as its file has it. */
export interface FileRegion {
  readonly id: number
  readonly code: string
  readonly name: string
  readonly latitude?: number | undefined
  readonly longitude?: number | undefined
  readonly state?: string | undefined
}

export interface MapFigures {
  readonly isStale: boolean
  readonly file: readonly FileRegion[]
  readonly regions: number
  /** Changes of region entries. */
  readonly changes: { readonly removals: number; readonly returns: number; readonly edits: number }
}

/** Empty without a regions file. */
export function mapFamilies(figures: MapFigures | undefined): MetricFamily[] {
  if (figures === undefined) return []
  const { isStale, file, regions, changes } = figures
  return [
    {
      name: 'derp_map_changes_total',
      type: 'counter',
      help: "Changes of a region's entry in the DERP map; clients reconnect to the region.",
      samples: [
        sample(changes.removals, { cause: 'removal' }),
        sample(changes.returns, { cause: 'return' }),
        sample(changes.edits, { cause: 'edit' }),
      ],
    },
    {
      name: 'derp_map_stale',
      type: 'gauge',
      help: '1 if the DERP map may have regions that are gone: this relay does not see the majority of the fleet.',
      samples: [sample(Number(isStale))],
    },
    {
      name: 'derp_map_regions',
      type: 'gauge',
      help: 'Regions in the DERP map.',
      samples: [sample(regions)],
    },
    {
      name: 'derp_region_info',
      type: 'gauge',
      help: 'Always 1. The labels name each region of the regions file, its place and its state.',
      samples: file.map((region) => sample(1, labelsOf(region))),
    },
  ]
}

function labelsOf({ id, code, name, latitude, longitude, state = 'active' }: FileRegion): Labels {
  const place = { latitude: String(latitude ?? ''), longitude: String(longitude ?? '') }
  return { region: String(id), code, name, ...place, state }
}
