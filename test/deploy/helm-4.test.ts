// Helm 4 makes the same objects of the chart as Helm 3, and refuses the same values with the same messages.

import { describe, expect, it } from 'vitest'
import { Chart, examplePath, EXAMPLES, FLEET_FILE } from '../chart/chart.ts'
import { foreignPrograms } from '../support/foreign.ts'

const programs = await foreignPrograms('helm', 'helm-4')
const paths = 'paths' in programs ? programs.paths : undefined

describe.skipIf(paths === undefined)('Helm 4', () => {
  const older = new Chart(paths?.helm ?? '')
  const chart = new Chart(paths?.['helm-4'] ?? '')

  it.each(EXAMPLES)('makes the objects of %s', async (name) => {
    const options = { values: [FLEET_FILE, examplePath(name)] }
    const objects = await chart.objects(options)
    expect(objects.length).toBeGreaterThan(4)
    expect(objects).toEqual(await older.objects(options))
    expect(await chart.lint(options)).toMatch(/1 chart\(s\) linted, 0 chart\(s\) failed/)
    expect(await chart.notes(options)).toBe(await older.notes(options))
  })

  it.each(['exposure.mode="x"', 'settings.log-levl="info"', 'region=905', 'mesh.existingSecret=""'])(
    'refuses %s',
    async (set) => {
      const options = { values: [FLEET_FILE, examplePath('metallb')], set: [set] }
      const message = (text = '') => /(?:- at '|: )([a-z/][^\n]*expected[^\n]*|\/[^\n]*)/.exec(text)?.[1]
      const refusal = message(await chart.refusal(options))
      expect(refusal).toBeDefined()
      expect(refusal).toBe(message(await older.refusal(options)))
    },
  )
})
