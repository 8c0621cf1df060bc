// Every example of the Helm chart is accepted by helm, and its objects by the schemas of the oldest and the newest
// Kubernetes.

import { rmSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { foreignPrograms } from '../support/foreign.ts'
import { runProcess } from '../support/process.ts'
import { Chart, examplePath, EXAMPLES, FLEET_FILE } from './chart.ts'
import { KUBERNETES_VERSIONS, SCHEMAS_FOLDER } from './kubernetes-schemas.ts'

const programs = await foreignPrograms('helm', 'kubeconform')
const paths = 'paths' in programs ? programs.paths : undefined
let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'derpfleet-manifests-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** kubeconform accepts an empty file, so it is asked for how many objects are valid. */
async function judged(
  manifests: string,
  version: string,
): Promise<{ valid: number; faults: readonly string[] }> {
  const path = join(folder, 'manifests.yaml')
  writeFileSync(path, manifests)
  const file = '{{.ResourceKind}}{{.KindSuffix}}.json'
  const locations = [version, 'custom'].flatMap((name) => [
    '-schema-location',
    `${SCHEMAS_FOLDER}/${name}/${file}`,
  ])
  const { stdout } = await runProcess(paths?.kubeconform ?? '', [
    '-strict',
    '-output',
    'json',
    '-summary',
    ...locations,
    path,
  ])
  const { resources, summary } = JSON.parse(stdout) as {
    readonly resources: readonly { readonly kind: string; readonly msg: string }[]
    readonly summary: { readonly valid: number }
  }
  return { valid: summary.valid, faults: resources.map(({ kind, msg }) => `${kind}: ${msg}`) }
}

describe.skipIf(paths === undefined)('the manifests of the chart', () => {
  const chart = new Chart(paths?.helm ?? '')

  it.each(EXAMPLES)('helm lint has nothing to say of %s', async (name) => {
    const printed = await chart.lint({ values: [FLEET_FILE, examplePath(name)] })
    expect(printed).toMatch(/1 chart\(s\) linted, 0 chart\(s\) failed/)
    expect(printed).not.toMatch(/WARNING|ERROR/)
  })

  const cases = EXAMPLES.flatMap((name) => KUBERNETES_VERSIONS.map((version) => [name, version] as const))
  it.each(cases)('of %s fit Kubernetes %s', async (name, kubernetes) => {
    const manifests = await chart.manifests({ values: [FLEET_FILE, examplePath(name)], kubernetes })
    const count = manifests.match(/^kind: /gm)?.length ?? 0
    expect(await judged(manifests, kubernetes)).toEqual({ valid: count, faults: [] })
    expect(count).toBeGreaterThan(4)
  })

  it('are refused with a member that Kubernetes does not have', async () => {
    const manifests = await chart.manifests({ values: [FLEET_FILE, examplePath('metallb')] })
    const { faults } = await judged(manifests.replace('replicas:', 'replicaz:'), KUBERNETES_VERSIONS[0])
    expect(faults).toEqual([expect.stringMatching(/^StatefulSet: .*'replicaz' not allowed/s)])
  })
})
