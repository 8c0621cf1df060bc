// The Helm chart makes the same DERP map as the command line and the relays, byte for byte, and gives its relays the same
// regions: for the example in the repository and for any fleet.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { stringify } from 'yaml'
import { derpMapText, MapFormat } from '#fleet/derp-map-writer.ts'
import { homeScore } from '#fleet/home-score.ts'
import { fileMap } from '#fleet/live-map.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { fileContents, readBack, type FileContent } from '../fleet/fleet-arbitraries.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { runOk } from '../support/process.ts'
import { CHART, Chart, examplePath, FLEET_FILE, objectOf, type KubernetesObject } from './chart.ts'
import { uncomposedPattern } from './composed-text.ts'
import { PROGRAM } from '../support/program-path.ts'

const programs = await foreignPrograms('helm')
const chart = new Chart('paths' in programs ? programs.paths.helm : '')

const KEYS = {
  [MapFormat.json]: 'derpmap.json',
  [MapFormat.headscale]: 'derpmap.yaml',
  [MapFormat.policy]: 'derpmap.policy',
} as const
const FORMATS = Object.values(MapFormat)

function mapIn(objects: readonly KubernetesObject[], format: MapFormat): string | undefined {
  return objectOf(objects, 'ConfigMap').data?.[KEYS[format]]
}

/** Beside the fleet's file: the least that a release needs. */
const RELEASE = ['mesh.key="' + '1f'.repeat(32) + '"', 'admission.open=true']

/** The values file, as an operator may write it. */
function fileText(contents: readonly FileContent[]): string {
  const regions = new Map(contents.map((one) => [one.id, one.region]))
  // Helm reads YAML 1.1, so a code such as `no` needs quotes; the state `off` needs none.
  return stringify({ regions }, { compat: 'yaml-1.1' }).replaceAll(/state: "off"$/gm, 'state: off')
}

/** A region that a release can run: one with a relay that is no standby. */
function regionToRun(contents: readonly FileContent[]): number | undefined {
  const nodesOf = ({ region }: FileContent) => region.nodes as readonly { readonly standby?: boolean }[]
  return contents
    .toSorted((a, b) => a.id - b.id)
    .find((one) => nodesOf(one).some(({ standby }) => standby !== true))?.id
}

/** Helm cannot compose names, so the chart refuses the others. */
const UNCOMPOSED = new RegExp(uncomposedPattern().replaceAll('\\x{', '\\u{'), 'u')

function isComposed(name: unknown): boolean {
  return typeof name !== 'string' || !UNCOMPOSED.test(name)
}

describe.skipIf('missing' in programs)('the DERP map of the chart', () => {
  it.each(FORMATS)('for regions.yaml is that of the command line: %s', async (format) => {
    const values = [FLEET_FILE, examplePath('metallb')]
    const printed = await runOk(PROGRAM, ['map', '-regions-file', FLEET_FILE, '-all', '-format', format])
    expect(mapIn(await chart.objects({ values, showOnly: 'templates/map.yaml' }), format)).toBe(printed)
    expect(await chart.notes({ values })).toContain(printed.trimEnd())
  })

  it('with the values that `derpfleet render helm` makes is the same', async () => {
    using folder = new TemporaryFolder()
    await runOk(PROGRAM, ['render', 'helm', '-regions-file', FLEET_FILE, '-o', folder.path])
    const expected = await runOk(PROGRAM, ['map', '-regions-file', FLEET_FILE, '-all', '-format', 'json'])
    for (const region of [900, 901, 902]) {
      const values = [folder.at(`values-${region}.yaml`)]
      const objects = await chart.objects({
        values,
        set: ['admission.open=true'],
        showOnly: 'templates/map.yaml',
      })
      expect(mapIn(objects, MapFormat.json)).toBe(expected)
    }
  })

  it('for any fleet is that of the relays, who get the same regions', { timeout: 60_000 }, async () => {
    using folder = new TemporaryFolder()
    await fc.assert(
      fc.asyncProperty(fileContents, async (contents) => {
        const region = regionToRun(contents)
        fc.pre(region !== undefined && contents.every((one) => isComposed(one.region.name)))
        const options = {
          values: [folder.write('regions.yaml', fileText(contents))],
          set: [...RELEASE, `region=${region}`],
        }
        const regions = readBack(contents)
        const maps = await chart.objects({ ...options, showOnly: 'templates/map.yaml' })
        for (const format of FORMATS) expect(mapIn(maps, format)).toBe(derpMapText(format, fileMap(regions)))
        const settings = await chart.objects({ ...options, showOnly: 'templates/settings.yaml' })
        const read = readRegionsFile('', objectOf(settings, 'ConfigMap').data?.['regions.yaml'] ?? '')
        // As JSON, which has no -0.
        expect(JSON.stringify('regions' in read && read.regions)).toBe(JSON.stringify(regions))
      }),
      { numRuns: 40 },
    )
  })

  it('has the score of every preference', async () => {
    using folder = new TemporaryFolder()
    const preferences = [0, 1, 2, 3, 5, 10, 20, 50, 70, 98, 370, 470, 971, 1_000]
    const regions = preferences.map((preferWithinMs, at) => [
      900 + at,
      { code: 'any', preferWithinMs, nodes: [{ name: `${at}`, hostname: `relay${at}.example` }] },
    ])
    const path = folder.write('regions.yaml', stringify({ regions: Object.fromEntries(regions) as unknown }))
    const options = { values: [path], set: [...RELEASE, 'region=900'], showOnly: 'templates/map.yaml' }
    const { HomeParams } = JSON.parse(mapIn(await chart.objects(options), MapFormat.json) ?? '') as {
      readonly HomeParams: { readonly RegionScore: Readonly<Record<string, number>> }
    }
    expect(Object.values(HomeParams.RegionScore)).toEqual(preferences.map(homeScore))
  })

  it('refuses a name that relays would compose', async () => {
    using folder = new TemporaryFolder()
    const region = {
      code: 'mty',
      name: 'Monterréy'.normalize('NFD'),
      nodes: [{ name: 'a', hostname: 'a.example' }],
    }
    const path = folder.write('regions.yaml', stringify({ regions: { 900: region } }))
    expect(await chart.refusal({ values: [path], set: [...RELEASE, 'region=900'] })).toMatch(
      /regions\.900\.name: "Monterr/,
    )
  })
})

it('the arithmetic of scores in whole numbers is that of the relays', () => {
  for (let ms = 0; ms <= 1_000; ms++)
    expect(Math.floor(20_000_000 / (30 + ms)) / 1_000_000).toBe(homeScore(ms))
})

it('the chart finds the texts that composition changes', () => {
  const template = readFileSync(`${CHART}/templates/_fleet.tpl`, 'utf8')
  expect(/define "derpfleet.uncomposed" -}}\n(.*)/.exec(template)?.[1]).toBe(uncomposedPattern())
  const changed = (text: string) => text.normalize('NFC') !== text
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', maxLength: 5 }),
      (text) => UNCOMPOSED.test(text) || !changed(text),
    ),
    { numRuns: 2_000 },
  )
  for (const text of [
    'Frankfurt',
    'São Paulo',
    'Αθήνα',
    'Đà Nẵng',
    'சென்னை',
    'กรุงเทพ',
    '서울',
    '東京',
    'ポルト',
  ]) {
    expect(UNCOMPOSED.test(text), text).toBe(false)
  }
})
