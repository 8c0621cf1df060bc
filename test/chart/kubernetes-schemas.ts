// Makes strict JSON Schemas for kubeconform of the kinds that the chart uses: from the OpenAPI documents in Kubernetes' own
// module, and from the custom resource definitions in the modules of Prometheus Operator and cert-manager. Strict: a member
// that the API does not have is an error. These documents have no lists of allowed values (`protocol: UDPP` passes); an API
// server has them. The results are in the repository. As a program it makes them anew, which needs Go:
//
//   node --disable-warning=ExperimentalWarning test/chart/kubernetes-schemas.ts

import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { CUSTOM_KINDS, KUBERNETES_VERSION } from '../support/kubernetes-build.ts'
import { runOk } from '../support/process.ts'

/** The oldest and the newest Kubernetes of the chart. */
export const KUBERNETES_VERSIONS = ['1.31.14', KUBERNETES_VERSION] as const

export const SCHEMAS_FOLDER = fileURLToPath(new URL('schemas', import.meta.url))

const KINDS: Readonly<Record<string, readonly string[]>> = {
  api__v1: ['ConfigMap', 'PersistentVolumeClaim', 'Secret', 'Service', 'ServiceAccount'],
  apis__apps__v1: ['DaemonSet', 'StatefulSet'],
  apis__batch__v1: ['Job'],
  'apis__networking.k8s.io__v1': ['NetworkPolicy'],
  apis__policy__v1: ['PodDisruptionBudget'],
}

type Json = Readonly<Record<string, unknown>>

interface Definition {
  readonly properties?: Json
  readonly 'x-kubernetes-group-version-kind'?: readonly { group: string; version: string; kind: string }[]
}

/** kubeconform's name for the schema of a kind. */
function fileName(kind: string, group: string, version: string): string {
  return [kind.toLowerCase(), ...(group === '' ? [] : [group.split('.')[0] ?? '']), version].join('-')
}

/** Without texts for people, and without members that the API does not have. */
function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict)
  if (!isObject(schema)) return schema
  const kept: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(schema)) {
    if (name === 'description' || name === 'default' || name === 'example') continue
    if (name.startsWith('x-') || (name === 'format' && schema.type !== 'string')) continue
    kept[name] = name === 'properties' && isObject(value) ? mapped(value, strict) : strict(value)
  }
  if (schema['x-kubernetes-int-or-string'] === true) return { type: ['integer', 'string'] }
  const isOpen = schema['x-kubernetes-preserve-unknown-fields'] === true
  if ('properties' in kept && !('additionalProperties' in kept) && !isOpen) kept.additionalProperties = false
  return kept
}

function mapped(values: Json, change: (value: unknown) => unknown): Json {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, change(value)]))
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The schemas of the kinds in one OpenAPI document by file name, each with all that it refers to. */
function builtInSchemas(document: string, kinds: readonly string[]): ReadonlyMap<string, string> {
  const { components } = JSON.parse(document) as { components: { schemas: Record<string, Definition> } }
  const all = Object.entries(components.schemas)
  const schemas = new Map<string, string>()
  for (const [name, definition] of all) {
    for (const { group, version, kind } of definition['x-kubernetes-group-version-kind'] ?? []) {
      if (!kinds.includes(kind) || !name.endsWith(`.${kind}`)) continue
      const used = new Set<string>()
      addReferences(name, components.schemas, used)
      schemas.set(fileName(kind, group, version), schemaText(name, [...used].sort(), components.schemas))
    }
  }
  if (schemas.size !== kinds.length) throw new Error(`does not have each of ${kinds.join(', ')} once`)
  return schemas
}

function addReferences(name: string, all: Readonly<Record<string, unknown>>, used: Set<string>): void {
  if (used.has(name)) return
  used.add(name)
  for (const [, referred = ''] of JSON.stringify(all[name]).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
    addReferences(referred, all, used)
  }
}

/** A definition on each line, so that a newer version can be compared. */
function schemaText(root: string, names: readonly string[], all: Readonly<Record<string, unknown>>): string {
  const lines = names.map((name) => `    ${JSON.stringify(name)}: ${JSON.stringify(strict(all[name]))}`)
  const text = `{\n  "$ref": "#/definitions/${root}",\n  "definitions": {\n${lines.join(',\n')}\n  }\n}\n`
  return text.replaceAll('#/components/schemas/', '#/definitions/')
}

interface CustomResource {
  readonly spec: {
    readonly group: string
    readonly names: { readonly kind: string }
    readonly versions: readonly { readonly name: string; readonly schema: { openAPIV3Schema: unknown } }[]
  }
}

function customSchemas(text: string): ReadonlyMap<string, string> {
  const { group, names, versions } = (parse(text) as CustomResource).spec
  return new Map(
    versions.map(({ name, schema }) => [
      fileName(names.kind, group, name),
      `${JSON.stringify(strict(schema.openAPIV3Schema))}\n`,
    ]),
  )
}

async function moduleFolder(module: string): Promise<string> {
  const env = { GOWORK: 'off' }
  const answer = await runOk('go', ['mod', 'download', '-json', module], { env, cwd: tmpdir() })
  return (JSON.parse(answer) as { readonly Dir: string }).Dir
}

async function write(folder: string, schemas: ReadonlyMap<string, string>): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [name, text] of schemas) await writeFile(join(folder, `${name}.json`), text)
}

if (import.meta.main) {
  await rm(SCHEMAS_FOLDER, { recursive: true, force: true })
  for (const version of KUBERNETES_VERSIONS) {
    const folder = await moduleFolder(`k8s.io/kubernetes@v${version}`)
    for (const [document, kinds] of Object.entries(KINDS)) {
      const path = join(folder, 'api/openapi-spec/v3', `${document}_openapi.json`)
      await write(join(SCHEMAS_FOLDER, version), builtInSchemas(await readFile(path, 'utf8'), kinds))
    }
  }
  for (const { module, version, files } of Object.values(CUSTOM_KINDS)) {
    const folder = await moduleFolder(`${module}@v${version}`)
    for (const file of files) {
      await write(join(SCHEMAS_FOLDER, 'custom'), customSchemas(await readFile(join(folder, file), 'utf8')))
    }
  }
}
