// A regular expression, in Go's syntax, that finds texts which Unicode's composition (NFC) would change. Helm cannot compose
// texts, and the relays do, so the chart refuses such names. Nearly exact: it also finds a few texts that have no composed
// form, with accents that no letter has, and does not find accents in the wrong order.

const BLOCKS_OF_MARKS = '\\x{300}-\\x{36f}\\x{1100}-\\x{11ff}\\x{3099}\\x{309a}'
const IN_BLOCKS = new RegExp(`[${BLOCKS_OF_MARKS.replaceAll('x', 'u')}]`, 'u')
const CODE_POINT_MAX = 0x10_ff_ff
const HALVES = { first: 0xd8_00, last: 0xdf_ff }

export function uncomposedPattern(): string {
  const replaced: number[] = []
  const pairs: string[] = []
  for (let code = 0x80; code <= CODE_POINT_MAX; code++) {
    if (code === HALVES.first) code = HALVES.last + 1
    const text = String.fromCodePoint(code)
    if (text.normalize('NFC') !== text) {
      if (!IN_BLOCKS.test(text)) replaced.push(code)
      continue
    }
    const parts = Array.from(text.normalize('NFD'))
    const last = parts.at(-1)
    if (parts.length < 2 || last === undefined || IN_BLOCKS.test(last)) continue
    pairs.push(escaped(parts.slice(0, -1).join('').normalize('NFC')) + escaped(last))
  }
  return [`[${ranges(replaced)}${BLOCKS_OF_MARKS}]`, ...pairs].join('|')
}

function escaped(text: string): string {
  return Array.from(text, (one) => escapedCode(one.codePointAt(0) ?? 0)).join('')
}

function escapedCode(code: number): string {
  return `\\x{${code.toString(16)}}`
}

function ranges(codes: readonly number[]): string {
  let text = ''
  for (const [at, code] of codes.entries()) {
    if (codes[at - 1] === code - 1 && codes[at + 1] === code + 1) continue
    text += codes[at - 1] === code - 1 ? `-${escapedCode(code)}` : escapedCode(code)
  }
  return text
}
