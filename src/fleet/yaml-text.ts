// Parses a YAML text that may be hostile, at a bounded cost. The library's own entry takes seconds for some texts of 60 KB, and
// for a mapping in a mapping ten thousand times the engine ends the process when the stack is exhausted within a regular
// expression, which nobody can catch. What goes beyond a bound is a fault of the document, like any other. Pure.

import {
  Composer,
  type Document,
  isScalar,
  Lexer,
  LineCounter,
  Parser,
  YAMLParseError,
  type ParsedNode,
} from 'yaml'

/** A map has six levels, and each may be two of the parser's. */
const DEPTH_MAX = 64
interface Bounds {
  /** Names, values, signs, spaces and line ends. */
  readonly tokensMax: number
  /** Each key of a mapping is compared with all others in it. */
  readonly comparisonsMax: number
}
/** Of a text from elsewhere: two thousand relays, and two thousand keys in one mapping. A second of work at worst. */
const FOREIGN: Bounds = { tokensMax: 100_000, comparisonsMax: 2_000_000 }
const FOREIGN_CHARS_MAX = 1_048_576
/** Of a file of this host, which nobody makes long on purpose: the most relays that a fleet may have, each in its region. */
const OWN: Bounds = { tokensMax: 2_000_000, comparisonsMax: 60_000_000 }
/** In quotes. Each one that YAML does not know is an error that the parser writes down. */
const ESCAPES_MAX = 10_000

class BeyondBound extends Error {}

/** Never throws: see `errors` of the document, of which at most one is for a bound. `lines` then knows the places. */
export function parseYaml(text: string, lines: LineCounter, bounds = OWN): Document.Parsed {
  const parser = new Parser(lines.addNewLine)
  lines.addNewLine(0)
  try {
    return composed(tokensOf(text, parser, bounds), text.length, bounds)
  } catch (error) {
    if (!(error instanceof BeyondBound)) throw error
    const document = composed([], 0, bounds)
    const at = Math.max(0, Math.min(parser.offset, text.length - 1))
    document.errors.push(new YAMLParseError([at, at + 1], 'RESOURCE_EXHAUSTION', error.message))
    return document
  }
}

/** The content of a text from elsewhere. @throws Error that says what is wrong with it, and where */
export function foreignYaml(text: string): unknown {
  if (text.length > FOREIGN_CHARS_MAX) throw new Error(`More than ${FOREIGN_CHARS_MAX} characters`)
  const lines = new LineCounter()
  const document = parseYaml(text, lines, FOREIGN)
  const [error] = document.errors
  if (error === undefined) return document.toJS()
  const { line, col } = lines.linePos(error.pos[0])
  throw new Error(`${error.message} at line ${line}, column ${col}`)
}

type Tokens = ReturnType<Parser['parse']> extends Generator<infer Token> ? readonly Token[] : never

function tokensOf(text: string, parser: Parser, { tokensMax }: Bounds): Tokens {
  const tokens: Tokens[number][] = []
  let [count, escapes] = [0, 0]
  for (const lexeme of new Lexer().lex(text)) {
    if (++count > tokensMax) throw new BeyondBound(`More than ${tokensMax} words and signs`)
    if (lexeme.startsWith('"')) escapes += escapesIn(lexeme)
    if (escapes > ESCAPES_MAX) throw new BeyondBound(`More than ${ESCAPES_MAX} escapes in quotes`)
    tokens.push(...parser.next(lexeme))
    if (parser.stack.length > DEPTH_MAX) throw new BeyondBound(`Nested deeper than ${DEPTH_MAX} levels`)
  }
  tokens.push(...parser.end())
  return tokens
}

function escapesIn(lexeme: string): number {
  let count = 0
  for (let at = lexeme.indexOf('\\'); at >= 0 && count <= ESCAPES_MAX; at = lexeme.indexOf('\\', at + 1))
    count++
  return count
}

/** As the library's parseDocument does it. */
function composed(tokens: Tokens, end: number, { comparisonsMax }: Bounds): Document.Parsed {
  let comparisons = 0
  const uniqueKeys = (one: ParsedNode, other: ParsedNode): boolean => {
    if (++comparisons > comparisonsMax) throw new BeyondBound('Too many keys in one mapping')
    return one === other || (isScalar(one) && isScalar(other) && one.value === other.value)
  }
  const composer = new Composer({ uniqueKeys, prettyErrors: false, logLevel: 'error' })
  let first: Document.Parsed | undefined
  for (const document of composer.compose(tokens, true, end)) {
    if (first !== undefined) {
      const [from, to] = document.range
      first.errors.push(new YAMLParseError([from, to], 'MULTIPLE_DOCS', 'The text has several documents'))
      break
    }
    first = document
  }
  if (first === undefined) throw new Error('the YAML parser has made no document')
  return first
}
