// The dashboards of deploy/grafana: the files are those that the generator writes, and keep the conventions that Grafana's own
// linter asks for.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { boardFiles } from '../../deploy/grafana/write.ts'

const FOLDER = fileURLToPath(new URL('../../deploy/grafana/', import.meta.url))

interface PanelJson {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description: string
  readonly datasource: unknown
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets: readonly { readonly expr: string }[]
  readonly links: readonly { readonly url: string }[]
  readonly fieldConfig: { readonly defaults: { readonly unit?: string } }
}

interface BoardJson {
  readonly uid: string
  readonly schemaVersion: number
  readonly tags: readonly string[]
  readonly panels: readonly PanelJson[]
  readonly templating: { readonly list: readonly { readonly name: string; readonly refresh: number }[] }
  readonly annotations: { readonly list: readonly { readonly name: string }[] }
}

describe.each(Object.entries(boardFiles()))('%s', (name, text) => {
  const board = JSON.parse(text) as BoardJson
  const panels = board.panels.filter(({ type }) => type !== 'row')

  it('is the file that the generator writes', () => {
    expect(readFileSync(FOLDER + name, 'utf8')).toBe(text)
  })

  it('has a fixed uid, tags, annotations, and variables that follow the time range', () => {
    expect(board.uid).toBe(`derpfleet-${name.replace('.json', '')}`)
    expect(board.tags).toContain('derpfleet')
    expect(board.annotations.list.map((one) => one.name)).toEqual(['Drains', 'Versions'])
    const [datasource, ...others] = board.templating.list
    expect(datasource?.name).toBe('datasource')
    expect(others.map((one) => one.name)).toContain('job')
    expect(others.filter(({ refresh }) => refresh !== 2)).toEqual([])
  })

  it.each(panels.map((panel) => [panel.title, panel] as const))('says what "%s" shows', (_, panel) => {
    expect(panel.description).toMatch(/^[A-Z0-9`/].{15,}\.$/)
    expect(panel.fieldConfig.defaults.unit).toMatch(/^\w+$/)
    expect(panel.datasource).toEqual({ type: 'prometheus', uid: '${datasource}' })
    expect(panel.targets.length).toBeGreaterThan(0)
    for (const { expr } of panel.targets) {
      expect(expr).toMatch(/job=~"\$job"|service="derpfleet"/)
      expect(expr.match(/\[[^$\]]+\]/)).toBeNull()
    }
  })

  it('has panels that do not overlap, each with an id of its own', () => {
    expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length)
    const cells = board.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (__, at) => `${x + (at % w)} ${y + Math.floor(at / w)}`),
    )
    expect(new Set(cells).size).toBe(cells.length)
    expect(Math.max(...board.panels.map(({ gridPos: { x, w } }) => x + w))).toBeLessThanOrEqual(24)
  })
})
