import { LineCounter, parseDocument, type Document } from 'yaml'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { readConfigFile } from '#config/config-file.ts'
import { OPTIONS } from '#config/options.ts'
import { mapFindings } from '#doctor/map-findings.ts'
import { isHeadscaleFile, readDerpMap } from '#fleet/derp-map-reader.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { YamlPlaces } from '#fleet/yaml-places.ts'
import { foreignYaml, parseYaml } from '#fleet/yaml-text.ts'

/** Each beyond one bound. The engine ends the process over the second if the library parses it. */
const HOSTILE: readonly (readonly [name: string, text: string, why: RegExp])[] = [
  ['lists nested in one line', '['.repeat(20_000), /deeper than 64/],
  ['mappings nested in one line', `x: ${'{'.repeat(20_000)}`, /deeper than 64/],
  ['list items nested in one line', '- '.repeat(20_000), /deeper than 64/],
  ['keys nested in one line', '? '.repeat(20_000), /deeper than 64/],
  [
    'keys nested by lines',
    Array.from({ length: 100 }, (_, at) => `${' '.repeat(at)}a:`).join('\n'),
    /deeper/,
  ],
  ['escapes that YAML does not have', `x: "${'\\q'.repeat(20_000)}"`, /10000 escapes/],
]
/** For a text from elsewhere alone. */
const LONG: readonly (readonly [name: string, text: string, why: RegExp])[] = [
  [
    'keys that are all compared',
    Array.from({ length: 9_000 }, (_, at) => `k${at}: 1`).join('\n'),
    /many keys/,
  ],
  ['keys that are lists', '[]:\n'.repeat(20_000), /many keys/],
  ['anchors without end', '&a '.repeat(60_000), /100000 words/],
  ['brackets without end', '}'.repeat(200_000), /100000 words/],
  ['a text without end', `x: >\n${' a\n\n'.repeat(300_000)}`, /1048576 characters/],
]

describe.each(HOSTILE)('%s', (_, text, why) => {
  it('is a fault of the document, with its place', () => {
    const { errors } = parseYaml(text, new LineCounter())
    expect(errors).toMatchObject([{ code: 'RESOURCE_EXHAUSTION', message: expect.stringMatching(why) }])
    const [fault] = new YamlPlaces(text).faults
    expect(fault).toMatchObject({ message: expect.stringMatching(why) })
    expect(fault?.line).toBeGreaterThan(0)
  })

  it('is refused by whoever reads YAML', () => {
    expect(readRegionsFile('regions.yaml', text)).toMatchObject({
      problems: [{ found: expect.stringMatching(why) }],
    })
    const { problems } = readConfigFile(OPTIONS, 'derpfleet.yaml', text)
    expect(problems).toMatchObject([{ found: expect.stringMatching(why) }])
  })
})

test.each([...HOSTILE, ...LONG])('%s: no map from elsewhere', (_, text, why) => {
  expect(() => foreignYaml(text)).toThrow(why)
  expect(readDerpMap(text)).toMatchObject({ fault: expect.stringMatching(why) })
  expect(isHeadscaleFile(text)).toBe(false)
  expect(mapFindings('map', text, undefined)).toMatchObject([{ seen: expect.stringMatching(why) }, {}, {}])
})

test('a file of the most relays that a fleet may have is within the bounds', () => {
  const node = (id: number, at: number): string =>
    `      - name: ${id}n${at}\n        hostname: ${id}n${at}.example\n        ipv4: 192.0.2.1\n        derpport: 443\n`
  const region = (id: number): string =>
    `  ${id}:\n    code: r${id}\n    nodes:\n${Array.from({ length: 100 }, (_, at) => node(id, at)).join('')}`
  const text = `regions:\n${Array.from({ length: 100 }, (_, at) => region(900 + at)).join('')}`
  const file = readRegionsFile('regions.yaml', text)
  expect('regions' in file && file.regions.flatMap(({ nodes }) => nodes).length).toBe(10_000)
}, 60_000)

/** An alias may have no anchor. */
function contentOf(document: Document): unknown {
  try {
    return document.toJS()
  } catch (error) {
    return String(error)
  }
}

test('says as the library what is wrong, and reads as the library what is right', () => {
  const part = fc.constantFrom(
    'a',
    'b: ',
    '- ',
    '\n',
    '  ',
    '[',
    ']',
    '{',
    '}',
    ',',
    '"',
    '&x ',
    '*x',
    '1',
    '#',
    '---\n',
    '|\n',
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 40 }), (parts) => {
      const text = parts.join('')
      const [lines, theirLines] = [new LineCounter(), new LineCounter()]
      const theirs = parseDocument(text, { lineCounter: theirLines, prettyErrors: false, logLevel: 'error' })
      const ours = parseYaml(text, lines)
      expect(ours.errors.map(({ code, pos }) => ({ code, pos }))).toEqual(
        theirs.errors.map(({ code, pos }) => ({ code, pos })),
      )
      // It does not read on after the first document.
      expect(lines.lineStarts.slice(0, theirLines.lineStarts.length)).toEqual(theirLines.lineStarts)
      if (theirs.errors.length === 0) expect(contentOf(ours)).toEqual(contentOf(theirs))
    }),
    { numRuns: 2_000 },
  )
})
