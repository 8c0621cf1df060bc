// Copies the rules of deploy/prometheus and the dashboards of deploy/grafana into the Helm chart, which can only have files in
// its own folder, and the version of package.json into its Chart.yaml:
//
//   node deploy/helm/write.ts

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const FILES = join(import.meta.dirname, 'derpfleet/files')

const COPIES = [
  { from: join(import.meta.dirname, '../prometheus'), to: 'rules', ending: '.yaml' },
  { from: join(import.meta.dirname, '../grafana'), to: 'dashboards', ending: '.json' },
] as const

/** The texts of the files that the chart is to have, by their path in its folder `files`. */
export function copiedFiles(): Readonly<Record<string, string>> {
  const files = COPIES.flatMap(({ from, to, ending }) =>
    readdirSync(from)
      .filter((name) => name.endsWith(ending))
      .map((name) => [`${to}/${name}`, readFileSync(join(from, name), 'utf8')]),
  )
  return Object.fromEntries(files) as Record<string, string>
}

/** The texts of the files that the chart has. */
export function filesOfTheChart(): Readonly<Record<string, string>> {
  const files = COPIES.flatMap(({ to }) =>
    readdirSync(join(FILES, to)).map((name) => [
      `${to}/${name}`,
      readFileSync(join(FILES, to, name), 'utf8'),
    ]),
  )
  return Object.fromEntries(files) as Record<string, string>
}

/** The scripts of both folders call it when they have written their files. */
export function copyToChart(): void {
  rmSync(FILES, { recursive: true, force: true })
  for (const { to } of COPIES) mkdirSync(join(FILES, to), { recursive: true })
  for (const [path, text] of Object.entries(copiedFiles())) writeFileSync(join(FILES, path), text)
}

/** Chart.yaml with the version of package.json in both of its places. */
export function chartText(chart: string, version: string): string {
  return chart.replaceAll(/^(version|appVersion): .*$/gm, `$1: ${version}`)
}

function setVersion(): void {
  const path = join(import.meta.dirname, 'derpfleet/Chart.yaml')
  const text = readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')
  const { version } = JSON.parse(text) as { version: string }
  writeFileSync(path, chartText(readFileSync(path, 'utf8'), version))
}

if (import.meta.main) {
  copyToChart()
  setVersion()
}
