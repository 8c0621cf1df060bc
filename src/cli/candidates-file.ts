// The file of places that `derpfleet advise -candidates` chooses from: a list in YAML or JSON. Reports every mistake at once.

import { readFileText, whyUnread } from '#config/file-text.ts'
import type { CloudPlace } from '#fleet/cloud-places.ts'
import { isPrintable } from '#fleet/printable-text.ts'
import type { Problem } from '#fleet/problem.ts'
import { YamlPlaces } from '#fleet/yaml-places.ts'

/** Enough for all data centres of the world; each is compared with each country and region. */
const PLACES_MAX = 1_000
const NAME_CHARS_MAX = 100
const FILE_EXPECTED = 'a list of places, each { name, latitude, longitude }'

type Fields = Readonly<Record<string, unknown>>

export function readCandidates(path: string, problems: Problem[]): readonly CloudPlace[] {
  const file = readFileText(path)
  if (!('text' in file)) {
    problems.push({ where: path, found: whyUnread(file), expected: FILE_EXPECTED })
    return []
  }
  const yaml = new YamlPlaces(file.text)
  for (const { message, line, column } of yaml.faults)
    problems.push({ where: `${path}:${line}:${column}`, found: message, expected: '' })
  if (yaml.faults.length > 0) return []
  const list = contentOf(yaml)
  if (!Array.isArray(list) || list.length === 0 || list.length > PLACES_MAX) {
    const found = Array.isArray(list) ? `has ${list.length} places` : 'is no list'
    problems.push({ where: path, found, expected: `${FILE_EXPECTED}, 1 to ${PLACES_MAX} of them` })
    return []
  }
  return list.flatMap((entry: unknown, at) => {
    const { line, column } = yaml.of([at])
    const fields: Fields = typeof entry === 'object' && entry !== null ? (entry as Fields) : {}
    const { name, latitude, longitude } = fields
    if (isName(name) && isDegrees(latitude, 90) && isDegrees(longitude, 180))
      return [{ name, latitude, longitude }]
    const expected = 'name, latitude from -90 to 90 and longitude from -180 to 180'
    problems.push({ where: `${path}:${line}:${column}`, found: 'is no place', expected })
    return []
  })
}

/** Undefined for a text with aliases, which no list of places needs. */
function contentOf(yaml: YamlPlaces): unknown {
  try {
    return yaml.content()
  } catch {
    return undefined
  }
}

function isName(name: unknown): name is string {
  return typeof name === 'string' && name !== '' && name.length <= NAME_CHARS_MAX && isPrintable(name)
}

function isDegrees(value: unknown, max: number): value is number {
  return typeof value === 'number' && Math.abs(value) <= max
}
