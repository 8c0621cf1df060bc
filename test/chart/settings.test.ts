// The relay accepts the settings that the Helm chart gives it, with the files that its pod mounts. What the chart repeats of
// the product is equal to it: schemas, the list of reloadable options, the version.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import type { Option } from '#config/option.ts'
import { OPTIONS } from '#config/options.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { runProcess } from '../support/process.ts'
import { CHART, Chart, examplePath, EXAMPLES, FLEET_FILE, objectOf, type RenderOptions } from './chart.ts'
import { relayFiles, writePodFiles } from './pod-files.ts'
import { madeParts, valuesSchema } from './values-schema.ts'
import { PROGRAM } from '../support/program-path.ts'

const programs = await foreignPrograms('helm')
const chart = new Chart('paths' in programs ? programs.paths.helm : '')

describe('what the chart repeats', () => {
  it('the parts of values.schema.json that are made from the product are up to date', () => {
    const { regions, settings } = valuesSchema().properties
    expect({ regions, settings }).toEqual(madeParts())
  })

  it('values.yaml has every value that the schema describes', () => {
    const values = parse(readFileSync(`${CHART}/values.yaml`, 'utf8')) as Record<string, unknown>
    expect(missing(values, valuesSchema().properties)).toEqual(['region', 'global'])
  })

  it('the version is that of the package', () => {
    const { version, appVersion } = parse(readFileSync(`${CHART}/Chart.yaml`, 'utf8')) as Record<
      string,
      string
    >
    const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
    const expected = (JSON.parse(manifest) as { readonly version: string }).version
    expect({ version, appVersion }).toEqual({ version: expected, appVersion: expected })
  })

  it('the options that need no restart are those that a reload applies', () => {
    const template = readFileSync(`${CHART}/templates/_settings.tpl`, 'utf8')
    const [, names = ''] = /define "derpfleet.reloadable" -}}([^{]*)/.exec(template) ?? []
    const live = Object.entries<Option>(OPTIONS).filter(([, { reload }]) => reload === 'value')
    expect(names.trim().split(/\s+/).toSorted()).toEqual(live.map(([name]) => name).toSorted())
  })
})

interface Described {
  readonly additionalProperties?: unknown
  readonly properties?: Readonly<Record<string, unknown>>
}

/** The values that are described and have no default. Parts that the product describes have none. */
function missing(
  values: unknown,
  properties: Readonly<Record<string, unknown>>,
  path = '',
): readonly string[] {
  return Object.entries(properties).flatMap(([name, described]) => {
    const at = `${path}${name}`
    if (typeof values !== 'object' || values === null || !Object.hasOwn(values, name)) return [at]
    const inner = (described as Described).properties
    if (inner === undefined || at === 'settings') return []
    return missing((values as Readonly<Record<string, unknown>>)[name], inner, `${at}.`)
  })
}

async function settingsOf(options: RenderOptions): Promise<Readonly<Record<string, string>>> {
  const objects = await chart.objects({ ...options, showOnly: 'templates/settings.yaml' })
  return objectOf(objects, 'ConfigMap').data ?? {}
}

describe.skipIf('missing' in programs)('the settings in the chart', () => {
  it.each(EXAMPLES)('of %s are valid', async (name) => {
    using folder = new TemporaryFolder()
    const settings = await settingsOf({ values: [FLEET_FILE, examplePath(name)] })
    await writePodFiles(folder, settings)
    expect(relayFiles(settings).length).toBeGreaterThan(0)
    for (const file of relayFiles(settings)) {
      const env = { DERPFLEET_VERIFY_CLIENT_URL: name === 'host-network' ? 'https://example.com/verify' : '' }
      const args = ['config', 'check', '-config', folder.at(`etc/settings/${file}`)]
      const { code, stdout, stderr } = await runProcess(PROGRAM, args, { env })
      expect({ code, stderr: withoutExpected(stderr) }, stdout).toEqual({ code: 0, stderr: '' })
    }
  })

  it('name the pods of a StatefulSet, and the machines of a DaemonSet', async () => {
    const filesOf = async (name: string) =>
      relayFiles(await settingsOf({ values: [FLEET_FILE, examplePath(name)] }))
    expect(await filesOf('metallb')).toEqual(['fra-derpfleet-0.yaml', 'fra-derpfleet-1.yaml'])
    expect(await filesOf('host-network')).toEqual(['fra-1.yaml', 'fra-2.yaml'])
  })
})

/** Warnings of what is meant in a pod. */
function withoutExpected(warnings: string): string {
  return warnings
    .split('\n')
    .filter(
      (line) =>
        !/the admin pages have no authentication|authority connects to port 80 or 443|derper.key will be created|threads 4: this process may use/.test(
          line,
        ),
    )
    .join('\n')
}
