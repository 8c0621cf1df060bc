// The two parts of the chart's values.schema.json that are made from the product's own schemas: `regions` is the fleet's
// file, `settings` the options of derpfleet.yaml. As a program it writes them:
//
//   node --disable-warning=ExperimentalWarning test/chart/values-schema.ts

import { readFileSync, writeFileSync } from 'node:fs'
import { z } from 'zod'
import { fileSchema } from '#config/config-file.ts'
import { OPTIONS } from '#config/options.ts'
import { regionsSchemaText } from '#fleet/regions-schema.ts'

type JsonObject = Record<string, unknown>

const PATH = new URL('../../deploy/helm/derpfleet/values.schema.json', import.meta.url)

/** Options that the chart sets itself, that have no place in a pod, or that are secrets. */
const OF_THE_CHART = [
  /^(listen|tls|http-port|stun|stun-port|admin|verbs-token-file|dev|derp)$/,
  /^(key-file|mesh-psk-file|mesh-with|mesh-dns|mesh-ca-file|regions-file|region|node|hostname|map-key-file)$/,
  /^(certmode|certdir|acme-eab-kid|acme-eab-key|state-dir|quick-start)$/,
  /^(nats-|drain-|verify-client|allow-keys-file|socket$|open-relay)/,
  /^(ace|secrets-|unpublished-)/,
]

/** The parts of values.schema.json by name. */
export function madeParts(): { readonly regions: unknown; readonly settings: unknown } {
  return { regions: regionsPart(), settings: settingsPart() }
}

export function valuesSchema(): { properties: JsonObject } {
  return JSON.parse(readFileSync(PATH, 'utf8')) as { properties: JsonObject }
}

function regionsPart(): unknown {
  const { properties } = JSON.parse(regionsSchemaText()) as { properties: { regions: JsonObject } }
  const { propertyNames, additionalProperties, ...regions } = forGo(properties.regions) as JsonObject & {
    propertyNames: { pattern: string }
    additionalProperties: { properties: { state: JsonObject } }
  }
  const { state } = additionalProperties.properties
  // Helm reads YAML 1.1, in which `off` without quotes is false.
  state.enum = [...(state.enum as string[]), false]
  delete state.type
  // With propertyNames, Helm's messages name another value.
  const patternProperties = { [propertyNames.pattern]: additionalProperties }
  return { minProperties: 1, ...regions, patternProperties, additionalProperties: false }
}

function settingsPart(): unknown {
  const { properties } = z.toJSONSchema(fileSchema(OPTIONS)) as { properties: JsonObject }
  const kept = Object.entries(properties).filter(([name]) => !OF_THE_CHART.some((one) => one.test(name)))
  return {
    description: 'Other options of derpfleet.yaml, by their names',
    type: 'object',
    additionalProperties: false,
    properties: forGo(Object.fromEntries(kept)),
  }
}

/** Go's regular expressions have no \uXXXX, so the character itself stands in its place. */
function forGo(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(forGo)
  if (typeof schema !== 'object' || schema === null) return schema
  return Object.fromEntries(
    Object.entries(schema).map(([name, value]) => [
      name,
      name === 'pattern' && typeof value === 'string' ? withCharacters(value) : forGo(value),
    ]),
  )
}

function withCharacters(pattern: string): string {
  return pattern.replaceAll(/\\u([\da-f]{4})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  )
}

if (import.meta.main) {
  const schema = valuesSchema()
  Object.assign(schema.properties, madeParts())
  writeFileSync(PATH, `${JSON.stringify(schema, null, 2)}\n`)
}
