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

/** `A`, `B`… */
export function refId(at: number): string {
  return String.fromCodePoint(65 + at)
}
