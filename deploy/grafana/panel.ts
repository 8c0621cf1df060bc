// The panels of dashboards as Grafana reads them, made from little: what a panel asks, and how it shows the answer. No panel is
// here. Each panel has a title, a description and a unit, which its functions demand.

/** What a panel shows, and where the operator reads on. */
export interface PanelText {
  readonly title: string
  /** What the numbers mean, and when they are bad. */
  readonly description: string
  /** Of Grafana's names: `short`, `bytes`, `s`, `percentunit`… */
  readonly unit: string
  /** The alert whose page says what to do. */
  readonly alert?: string
  /** Columns of 24. */
  readonly width?: number
  readonly height?: number
}

export interface Query {
  readonly expr: string
  /** The name of a line: `{{instance}}`. */
  readonly legend?: string
}

/** A value from which on a colour is used; the first has none. */
export type Step = readonly [from: number | null, color: string]

export interface Panel {
  readonly type: string
  readonly text: PanelText
  readonly queries: readonly Query[]
  readonly format: 'time_series' | 'table' | 'heatmap'
  readonly isInstant: boolean
  readonly options: object
  readonly field: object
  readonly overrides: readonly object[]
  readonly transformations: readonly object[]
}

const PLAIN: Omit<Panel, 'type' | 'text' | 'queries'> = {
  format: 'time_series',
  isInstant: false,
  options: {},
  field: {},
  overrides: [],
  transformations: [],
}

const steps = (list: readonly Step[]): object => ({
  color: { mode: 'thresholds' },
  thresholds: { mode: 'absolute', steps: list.map(([value, color]) => ({ value, color })) },
})

/** One number now. */
export function stat(text: PanelText, expr: string, thresholds: readonly Step[] = [[null, 'green']]): Panel {
  return {
    ...PLAIN,
    type: 'stat',
    text: { width: 4, height: 4, ...text },
    queries: [{ expr }],
    isInstant: true,
    options: {
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      colorMode: 'value',
      graphMode: 'none',
      textMode: 'auto',
    },
    field: steps(thresholds),
  }
}

/** Lines over time. */
export function lines(text: PanelText, ...queries: readonly Query[]): Panel {
  return {
    ...PLAIN,
    type: 'timeseries',
    text,
    queries,
    options: {
      legend: { displayMode: 'table', placement: 'bottom', showLegend: true, calcs: ['lastNotNull', 'max'] },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
    field: {
      color: { mode: 'palette-classic' },
      custom: { lineWidth: 1, fillOpacity: 8, showPoints: 'never' },
    },
  }
}

/** Lines on top of each other, which add up. */
export function stacked(text: PanelText, ...queries: readonly Query[]): Panel {
  const panel = lines(text, ...queries)
  const custom = {
    lineWidth: 1,
    fillOpacity: 40,
    showPoints: 'never',
    stacking: { mode: 'normal', group: 'A' },
  }
  return { ...panel, field: { ...panel.field, custom } }
}

/** How many fell into each bucket of a histogram, over time. */
export function heatmap(text: PanelText, query: Query): Panel {
  return {
    ...PLAIN,
    type: 'heatmap',
    text,
    queries: [query],
    format: 'heatmap',
    options: {
      calculate: false,
      cellGap: 1,
      color: { mode: 'scheme', scheme: 'Turbo', steps: 64 },
      yAxis: { unit: text.unit, axisPlacement: 'left' },
      tooltip: { mode: 'single', yHistogram: true },
      legend: { show: true },
    },
  }
}

/** A column of a table: a label, or the answer to a query. */
export interface Column {
  readonly title: string
  readonly unit?: string
  readonly thresholds?: readonly Step[]
}

/**
 * One row for each set of labels.
 *
 * @param labels the columns of labels, by label
 * @param values the columns of numbers, with their queries
 */
export function table(
  text: PanelText,
  labels: Readonly<Record<string, string>>,
  values: readonly (Column & { readonly expr: string })[],
): Panel {
  const titles = values.map(({ title }, at) => [`Value #${refId(at)}`, title])
  return {
    ...PLAIN,
    type: 'table',
    text,
    queries: values.map(({ expr }) => ({ expr })),
    format: 'table',
    isInstant: true,
    options: { showHeader: true, cellHeight: 'sm' },
    overrides: values.map(({ title, unit = 'short', thresholds }) => ({
      matcher: { id: 'byName', options: title },
      properties: [
        { id: 'unit', value: unit },
        ...(thresholds === undefined
          ? []
          : Object.entries(steps(thresholds)).map(([id, value]) => ({ id, value }))),
      ],
    })),
    transformations: [
      { id: 'merge', options: {} },
      {
        id: 'organize',
        options: {
          excludeByName: { Time: true },
          indexByName: Object.fromEntries(
            [...Object.keys(labels), ...titles.map(([value]) => value)].map((name, at) => [name, at]),
          ),
          renameByName: { ...labels, ...Object.fromEntries(titles) },
        },
      },
    ],
  }
}

/** Places on a map of the world, from the labels `latitude` and `longitude`; the number is the size and the colour. */
export function worldMap(text: PanelText, expr: string, thresholds: readonly Step[]): Panel {
  const size = { fixed: 8, min: 6, max: 20 }
  return {
    ...PLAIN,
    type: 'geomap',
    text,
    queries: [{ expr }],
    format: 'table',
    isInstant: true,
    options: {
      view: { id: 'zero', lat: 20, lon: 0, zoom: 1, allLayers: true },
      basemap: { type: 'default', name: 'Layer 0' },
      layers: [
        {
          type: 'markers',
          name: 'Regions',
          location: { mode: 'coords', latitude: 'latitude', longitude: 'longitude' },
          config: {
            showLegend: false,
            style: {
              color: { field: 'Value', fixed: 'green' },
              size,
              text: { field: 'code', mode: 'field' },
            },
          },
          tooltip: true,
        },
      ],
    },
    field: steps(thresholds),
  }
}

/** `A`, `B`… */
export function refId(at: number): string {
  return String.fromCodePoint(65 + at)
}
