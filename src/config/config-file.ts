// Reads options from the text of a YAML file: one flat mapping whose keys are the options' names. An unknown key, a
// key that is given twice and a value of another shape are problems with their line. The caller reads the file.

import { isMap, isScalar, LineCounter, type Document } from 'yaml'
import { z } from 'zod'
import { reasonOf, type Problem } from '#fleet/problem.ts'
import { parseYaml } from '#fleet/yaml-text.ts'
import { didYouMean, nearestWord } from './nearest-word.ts'
import { envName, flagNames, isInFile, type Option, type OptionTable } from './option.ts'
import type { RawOption, RawOptions } from './raw-option.ts'

export interface FileValues {
  readonly values: RawOptions
  readonly problems: readonly Problem[]
}

/** The shape of the file; its JSON Schema is derived from it, too. */
export function fileSchema(table: OptionTable): z.ZodType<Record<string, unknown>> {
  const shape: Record<string, z.ZodType> = {}
  for (const [name, option] of Object.entries(table)) {
    if (isInFile(option)) shape[name] = option.kind.shape.optional().describe(option.about)
  }
  return z.strictObject(shape)
}

/** Reads the file's text; `path` is only used to name the file in problems. */
export function readConfigFile(table: OptionTable, path: string, fileText: string): FileValues {
  const lines = new LineCounter()
  const document = parseYaml(fileText, lines)
  if (document.errors.length > 0) {
    return { values: new Map(), problems: document.errors.map((error) => syntaxProblem(error, path, lines)) }
  }
  let content: unknown
  try {
    content = document.toJS()
  } catch (error) {
    // An alias without its anchor, or so many aliases that a small file expands to a huge one.
    return {
      values: new Map(),
      problems: [{ where: path, found: reasonOf(error), expected: 'values without YAML aliases' }],
    }
  }
  // A file that contains only comments sets nothing.
  if (content === null) return { values: new Map(), problems: [] }
  if (!isMap(document.contents)) {
    return {
      values: new Map(),
      problems: [{ where: path, found: 'is not a YAML mapping', expected: 'lines of KEY: VALUE' }],
    }
  }
  const lineOf = keyLines(document, lines)
  const where = (name: string): string => `${path}:${lineOf.get(name) ?? 1}: ${name}`
  const issues = fileSchema(table).safeParse(content).error?.issues ?? []
  const problems = issues.flatMap((issue) => shapeProblems(table, issue, { content, where }))
  // Valid keys count, so that no other check takes them for missing.
  const invalid = new Set(problems.map((problem) => problem.where))
  const values = new Map<string, RawOption>()
  for (const [name, value] of Object.entries(content as object)) {
    const raw = { text: textOf(value), source: 'file', where: where(name) } as const
    if (!invalid.has(raw.where)) values.set(name, raw)
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

/** The line of each top-level key. */
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
  readonly where: (name: string) => string
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
  const name = String(issue.path[0])
  const value = typeof content === 'object' && content !== null ? Object.entries(content) : []
  const found = JSON.stringify(value.find(([key]) => key === name)?.[1])
  return [{ where: where(name), found: `invalid value ${found}`, expected: table[name]?.kind.expected ?? '' }]
}

/**
 * What the operator may have meant: derper's flag of an option, an option that may not stand in a file, or a similar
 * name.
 */
function keyHint(table: OptionTable, key: string): string {
  const known = Object.entries(table).filter(([, option]) => isInFile(option))
  const byFlag = known.find(([name, option]) => flagNames(name, option).includes(key))
  if (byFlag !== undefined) return didYouMean(byFlag[0])
  const option: Option | undefined = table[key]
  if (option?.only === 'env') return `; set the environment variable ${envName(key)}`
  if (option?.only === 'flag') return '; it can be set only by a flag'
  if (option !== undefined) return '; it can be set only by a flag or an environment variable'
  return didYouMean(
    nearestWord(
      key,
      known.map(([name]) => name),
    ),
  )
}

/** The value in its text form, so that one parser serves all sources. */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.join(',')
  if (value === null || value === undefined) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}
