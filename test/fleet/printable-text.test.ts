// The same characters are unprintable for everyone who reads texts from elsewhere.

import fc from 'fast-check'
import { expect, it, test } from 'vitest'
import { terminalText } from '#cli/terminal-text.ts'
import { readDerpMap } from '#fleet/derp-map-reader.ts'
import { FieldReader } from '#fleet/field-reader.ts'
import { isPrintable, printableText } from '#fleet/printable-text.ts'
import { printable } from '#probe/check.ts'

/** An escape, a C1 control, a change of direction, an invisible joiner, two line ends, half a character. */
const UNPRINTABLE = ['\u{1b}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200d}', '\u{2028}', '\u{2029}', '\ud800']

test.each(UNPRINTABLE)('nobody takes %j', (character) => {
  const text = `a${character}b`
  expect(isPrintable(text)).toBe(false)
  expect(FieldReader.of(JSON.stringify({ text }))?.text('text', { charsMax: 9 })).toBeUndefined()
  const map = readDerpMap(JSON.stringify({ Regions: { 900: { Nodes: [{ Name: text, HostName: 'h' }] } } }))
  expect(map).toMatchObject({ problems: [{ found: expect.stringContaining('has unprintable characters') }] })
  for (const shown of [terminalText(text), printable(text), printableText(text, { charsMax: 9 })])
    expect(shown).toBe('a b')
})

it('is printable whatever comes, and is no longer than it may be', () => {
  const text = fc.string({ unit: 'binary', maxLength: 100 })
  fc.assert(
    fc.property(text, fc.nat(100), (given, charsMax) => {
      const shown = printableText(given, { charsMax })
      expect(shown.length).toBeLessThanOrEqual(charsMax)
      // A pair that is cut in half is shown as a replacement.
      expect(isPrintable(shown)).toBe(true)
      if (isPrintable(given) && given.length <= charsMax) expect(shown).toBe(given)
    }),
  )
})
