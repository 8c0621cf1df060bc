// A dashboard as Grafana imports it: panels in rows, the variables, the links and the annotations that every board has.

import { runbookName } from '../prometheus/rule.ts'
import { refId, type Panel } from './panel.ts'

export interface Row {
  readonly title: string
  readonly panels: readonly Panel[]
}

export interface Variable {
  readonly name: string
  readonly label: string
  /** `label_values(…)`. */
  readonly query: string
  /** One value at a time. */
  readonly isSingle?: boolean
}

export interface Board {
  /** Fixed, so that links last. */
  readonly uid: string
  readonly title: string
  readonly description: string
  readonly rows: readonly Row[]
  readonly variables: readonly Variable[]
}

export interface BoardOptions {
  /** Where the runbook pages are, as in the rules. */
  readonly runbooks: string
}

export const JOB: Variable = { name: 'job', label: 'Job', query: 'label_values(derp_build_info, job)' }

const COLUMNS = 24
/** That of Grafana's own SDK. */
const SCHEMA_VERSION = 42
const DATASOURCE = { type: 'prometheus', uid: '${datasource}' }
const TAG = 'derpfleet'

/** The text of the board's file. */
export function boardText(board: Board, options: BoardOptions): string {
  const { uid, title, description, rows, variables } = board
  const json = {
    uid,
    title,
    description,
    tags: [TAG],
    schemaVersion: SCHEMA_VERSION,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    timezone: 'browser',
    annotations: { list: ANNOTATIONS },
    links: linksOf(options),
    templating: { list: [datasourceVariable(), ...variables.map(variable)] },
    panels: placed(rows, options),
  }
  return `${JSON.stringify(json, undefined, 2)}\n`
}

const ANNOTATIONS = [
  annotation('Drains', 'orange', 'max by (instance) (derp_draining{job=~"$job"}) > 0', '{{instance}} drains'),
  annotation(
    'Versions',
    'blue',
    'derp_build_info{job=~"$job"} unless on (job, instance, version) derp_build_info{job=~"$job"} offset 2m',
    '{{instance}} runs {{version}}',
  ),
]

function annotation(name: string, iconColor: string, expr: string, titleFormat: string): object {
  return {
    name,
    datasource: DATASOURCE,
    enable: true,
    iconColor,
    expr,
    titleFormat,
    step: '30s',
    hide: false,
  }
}

function linksOf({ runbooks }: BoardOptions): readonly object[] {
  return [
    {
      type: 'dashboards',
      title: 'derpfleet',
      tags: [TAG],
      asDropdown: false,
      includeVars: true,
      keepTime: true,
    },
    { type: 'link', title: 'Runbooks', url: `${runbooks}/README.md`, icon: 'doc', targetBlank: true },
  ]
}

function datasourceVariable(): object {
  return {
    type: 'datasource',
    name: 'datasource',
    label: 'Data source',
    query: 'prometheus',
    refresh: 1,
    hide: 0,
  }
}

function variable({ name, label, query, isSingle = false }: Variable): object {
  return {
    type: 'query',
    name,
    label,
    datasource: DATASOURCE,
    definition: query,
    query: { query, refId: name },
    // 2: when the time range changes.
    refresh: 2,
    sort: 1,
    multi: !isSingle,
    includeAll: !isSingle,
    ...(isSingle ? {} : { allValue: '.*', current: { text: ['All'], value: ['$__all'] } }),
  }
}

function placed(rows: readonly Row[], options: BoardOptions): readonly object[] {
  const all: object[] = []
  let y = 0
  for (const { title, panels } of rows) {
    all.push({
      id: all.length + 1,
      type: 'row',
      title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: COLUMNS, h: 1 },
    })
    y++
    let [x, lineHeight] = [0, 0]
    for (const panel of panels) {
      const { width: w = COLUMNS / 2, height: h = 8 } = panel.text
      if (x + w > COLUMNS) [x, y, lineHeight] = [0, y + lineHeight, 0]
      all.push(panelJson(panel, { id: all.length + 1, gridPos: { x, y, w, h } }, options))
      x += w
      lineHeight = Math.max(lineHeight, h)
    }
    y += lineHeight
  }
  return all
}

function panelJson(panel: Panel, place: object, { runbooks }: BoardOptions): object {
  const { type, text, queries, format, isInstant, options, field, overrides, transformations } = panel
  const { title, description, unit, alert } = text
  return {
    ...place,
    type,
    title,
    description,
    datasource: DATASOURCE,
    links:
      alert === undefined
        ? []
        : [{ title: `What to do: ${alert}`, url: `${runbooks}/${runbookName(alert)}.md`, targetBlank: true }],
    targets: queries.map(({ expr, legend = '' }, at) => ({
      refId: refId(at),
      datasource: DATASOURCE,
      expr,
      legendFormat: format === 'heatmap' ? '{{le}}' : legend,
      format,
      instant: isInstant,
      range: !isInstant,
    })),
    options,
    fieldConfig: { defaults: { unit, ...field }, overrides },
    transformations,
  }
}
