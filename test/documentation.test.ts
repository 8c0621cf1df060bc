// What the documents say of the tree: every file and folder that they name is there, the code maps name every folder of
// src, and the architecture page has its five walks of ten steps at most.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { regionsSchemaText } from '#fleet/regions-schema.ts'

const root = new URL('../', import.meta.url)
const FOLDERS = readdirSync(new URL('src/', root), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
const STEPS_MAX = 10

function read(path: string): string {
  return readFileSync(new URL(path, root), 'utf8')
}

/** Paths of the project in a text: `src/relay/session.ts`, or `relay/session.ts` for short. */
function pathsIn(text: string): readonly string[] {
  const paths = [...text.matchAll(/`((?:[\w-][\w.-]*\/)+[\w.-]+\.(?:ts|c|md|json|yaml))`/g)].map(
    ([, path = '']) => path,
  )
  return paths.map((path) => (FOLDERS.includes(path.split('/')[0] ?? '') ? `src/${path}` : path))
}

const DOCUMENTS = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...readdirSync(new URL('docs/', root))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
  ...['decisions', 'runbooks'].flatMap((folder) =>
    readdirSync(new URL(`docs/${folder}/`, root)).map((name) => `docs/${folder}/${name}`),
  ),
]

it.each(DOCUMENTS)('%s names files that are there', (path) => {
  expect(pathsIn(read(path)).filter((named) => !existsSync(new URL(named, root)))).toEqual([])
})

it.each(DOCUMENTS)('%s links to files that are there', (path) => {
  const links = [...read(path).matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)].map(([, link = '']) => link)
  expect(links.filter((link) => !existsSync(new URL(link, new URL(path, root))))).toEqual([])
})

it('the threat model has a test for each limit', () => {
  const tables = read('SECURITY.md').matchAll(/^\| \w+ \| holds \| test \|\n\|[-| ]+\|\n((?:\|.*\n)+)/gm)
  const rows = [...tables].map(([, body = '']) => body.trimEnd().split('\n'))
  expect(rows.length).toBeGreaterThanOrEqual(7)
  const untested = rows.flat().filter((row) => !/ \| (?:`test\/[\w/-]+\.test\.ts`(?:, )?)+ \|$/.test(row))
  expect(untested).toEqual([])
})

describe('the code map', () => {
  it.each(['README.md', 'CONTRIBUTING.md'])('of %s has every folder of src, and no other', (path) => {
    const rows = [...read(path).matchAll(/^\| `src\/([\w-]+)\/?` +\|/gm)].map(([, folder]) => folder)
    expect(new Set(rows)).toEqual(new Set(FOLDERS))
    expect(rows).toHaveLength(FOLDERS.length)
  })

  it('says the same of a folder in README and CONTRIBUTING', () => {
    const rowsOf = (path: string) =>
      new Map(
        [...read(path).matchAll(/^\| `src\/([\w-]+)\/?` +\|([^|]+)\|/gm)].map(([, name, text = '']) => [
          name,
          text.trim(),
        ]),
      )
    expect(rowsOf('CONTRIBUTING.md')).toEqual(rowsOf('README.md'))
  })
})

describe('the architecture page', () => {
  const walks = read('docs/architecture.md')
    .split(/^## /m)
    .slice(1)
    .map((text) => ({ title: text.split('\n', 1)[0], steps: text.match(/^\d+\. .*(?:\n {3}.*)*/gm) ?? [] }))
    .filter(({ steps }) => steps.length > 0)

  it('follows a packet, a login, a presence, a setting, a drain and a metric', () => {
    expect(walks.map(({ title }) => title)).toEqual([
      'One packet',
      'One login',
      "One sibling's presence",
      'One setting',
      'One drain',
      'One metric',
    ])
  })

  it.each(walks)('names a file in each step of "$title", in ten steps at most', ({ steps }) => {
    expect(steps.length).toBeLessThanOrEqual(STEPS_MAX)
    expect(steps.filter((step) => pathsIn(step).length === 0)).toEqual([])
  })
})

it('the example of a fleet is one that a relay accepts', () => {
  const result = readRegionsFile('regions.yaml', read('regions.yaml'))
  expect(result).toHaveProperty('regions')
  expect(result.warnings).toEqual([])
})

it('the published JSON Schema of that file is the one that the reader has', () => {
  expect(read('regions.schema.json')).toBe(regionsSchemaText())
  expect(read('regions.yaml')).toMatch(/^# yaml-language-server: \$schema=\.\/regions\.schema\.json\n/)
})
