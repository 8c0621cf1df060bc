// Options from a YAML file: one flat map whose keys are the options' words. An unknown key, a key given twice and a
// value of another shape are complaints with the line they stand on. The file's text comes in; reading it is the
// caller's business.

import { isMap, isScalar, LineCounter, parseDocument, type Document } from 'yaml'
import { z } from 'zod'
import { didYouMean, nearestWord } from './nearest-word.ts'
import { envName, flagNames, isInFile, type Option, type OptionTable } from './option.ts'
import { reasonOf, type Problem } from '#fleet/problem.ts'
import type { RawOption, RawOptions } from './raw-option.ts'

export interface FileValues {
  readonly values: RawOptions
  readonly problems: readonly Problem[]
}

/** The file's shape, also the source of its JSON Schema. */
export function fileSchema(table: OptionTable): z.ZodType<Record<string, unknown>> {
  const shape: Record<string, z.ZodType> = {}
  for (const [word, option] of Object.entries(table)) {
    if (isInFile(option)) shape[word] = option.kind.shape.optional().describe(option.about)
  }
  return z.strictObject(shape)
}

/** Reads the text of the file at `path`, which is only used to name it. */
export function readConfigFile(table: OptionTable, path: string, fileText: string): FileValues {
  const lines = new LineCounter()
  const document = parseDocument(fileText, { lineCounter: lines, prettyErrors: false, logLevel: 'error' })
  if (document.errors.length > 0) {
    return { values: new Map(), problems: document.errors.map((error) => syntaxProblem(error, path, lines)) }
  }
  let content: unknown
  try {
    content = document.toJS()
  } catch (error) {
    // An alias without its anchor, or so many that a small file stands for a huge one.
    return {
      values: new Map(),
      problems: [{ where: path, found: reasonOf(error), expected: 'values without YAML aliases' }],
    }
  }
  // A file of comments alone sets nothing.
  if (content === null) return { values: new Map(), problems: [] }
  if (!isMap(document.contents)) {
    return {
      values: new Map(),
      problems: [{ where: path, found: 'is not a YAML mapping', expected: 'lines of KEY: VALUE' }],
    }
  }
  const lineOf = keyLines(document, lines)
  const where = (word: string): string => `${path}:${lineOf.get(word) ?? 1}: ${word}`
  const issues = fileSchema(table).safeParse(content).error?.issues ?? []
  const problems = issues.flatMap((issue) => shapeProblems(table, issue, { content, where }))
  // The keys without fault count, so that they are not missed elsewhere.
  const faulty = new Set(problems.map((problem) => problem.where))
  const values = new Map<string, RawOption>()
  for (const [word, value] of Object.entries(content as object)) {
    const raw = { text: textOf(value), source: 'file', where: where(word) } as const
    if (!faulty.has(raw.where)) values.set(word, raw)
  }
  return { values, problems }
}

function syntaxProblem(
  error: { readonly message: string; readonly pos: readonly [number, number] },
  path: string,
  lines: LineCounter,
): Problem {
  return { where: `${path}:${lines.linePos(error.pos[0]).line}`, found: error.message, expected: '' }
}

/** On which line each top-level key stands. */
function keyLines(document: Document.Parsed, lines: LineCounter): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  if (!isMap(document.contents)) return found
  for (const { key } of document.contents.items) {
    if (isScalar(key) && key.range) found.set(String(key.value), lines.linePos(key.range[0]).line)
  }
  return found
}

interface FileContext {
  readonly content: unknown
  readonly where: (word: string) => string
}

function shapeProblems(table: OptionTable, issue: z.core.$ZodIssue, context: FileContext): Problem[] {
  const { content, where } = context
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      where: where(key),
      found: `unknown key${keyHint(table, key)}`,
      expected: '',
    }))
  }
  const word = String(issue.path[0])
  const value = typeof content === 'object' && content !== null ? Object.entries(content) : []
  const found = JSON.stringify(value.find(([key]) => key === word)?.[1])
  return [{ where: where(word), found: `invalid value ${found}`, expected: table[word]?.kind.expected ?? '' }]
}

/** The key that was meant: derper's flag for an option, one that may not stand in a file, or the nearest word. */
function keyHint(table: OptionTable, key: string): string {
  const known = Object.entries(table).filter(([, option]) => isInFile(option))
  const byFlag = known.find(([word, option]) => flagNames(word, option).includes(key))
  if (byFlag !== undefined) return didYouMean(byFlag[0])
  const option: Option | undefined = table[key]
  if (option?.only === 'env') return `; set the environment variable ${envName(key)}`
  if (option?.only === 'flag') return '; it can be set only by a flag'
  if (option !== undefined) return '; it can be set only by a flag or an environment variable'
  return didYouMean(
    nearestWord(
      key,
      known.map(([word]) => word),
    ),
  )
}

/** The value as a flag would have it, so that one parser serves all sources. */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.join(',')
  if (value === null || value === undefined) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}
