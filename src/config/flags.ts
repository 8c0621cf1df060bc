// A command line in the syntax of Go's flag package, which derper's has: one dash or two, `-flag value` or
// `-flag=value`, booleans alone or behind `=`, `-h` for `-help`, `--` to end the flags. Stricter in one point: what is
// left over is a complaint, because Go stops reading at it and would ignore every flag behind (`-stun false
// -verify-clients`).

import { didYouMean, nearestWord } from './nearest-word.ts'
import { envName, flagNames, type Option, type OptionTable } from './option.ts'
import type { Problem } from '#fleet/problem.ts'
import type { RawOption, RawOptions } from './raw-option.ts'
import { shownText } from '#fleet/secret-mask.ts'

export interface Flags {
  readonly values: RawOptions
  readonly problems: readonly Problem[]
}

/** Reads all arguments; the last of several values for one flag counts. */
export function readFlags(table: OptionTable, args: readonly string[]): Flags {
  const words = wordsByFlag(table)
  const values = new Map<string, RawOption>()
  const problems: Problem[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? ''
    if (arg === '--') {
      problems.push(...args.slice(at + 1).map((word) => leftOver(word, undefined)))
      break
    }
    const [, flag = '', inline] = /^--?([^-=][^=]*)(?:=([^]*))?$/.exec(arg) ?? []
    if (flag === '') {
      problems.push(leftOver(arg, args[at - 1]))
      continue
    }
    const [word, option] = words.get(flag) ?? []
    if (word === undefined || option === undefined) {
      problems.push(unknown(flag, table, words))
      // What may be its value would be one more complaint about nothing.
      if (inline === undefined && isValue(args[at + 1])) at++
      continue
    }
    const given = inline ?? (option.kind.isBoolean ? 'true' : args[++at])
    if (given === undefined) {
      problems.push({ where: `-${flag}`, found: 'missing value', expected: option.kind.expected })
    } else {
      values.set(word, { text: given, source: 'flag', where: `-${flag}` })
    }
  }
  return { values, problems }
}

function wordsByFlag(table: OptionTable): ReadonlyMap<string, readonly [string, Option]> {
  const words = new Map<string, readonly [string, Option]>()
  for (const [word, option] of Object.entries(table)) {
    for (const flag of flagNames(word, option)) words.set(flag, [word, option])
  }
  const help = words.get('help')
  return help === undefined ? words : words.set('h', help)
}

function isValue(arg: string | undefined): boolean {
  return arg !== undefined && !arg.startsWith('-')
}

function unknown(flag: string, table: OptionTable, words: ReadonlyMap<string, unknown>): Problem {
  const where = `-${flag}`
  // A secret on a command line is readable by every user of the machine.
  if (table[flag]?.only === 'env') {
    return { where, found: `unknown flag; set the environment variable ${envName(flag)}`, expected: '' }
  }
  const nearest = nearestWord(flag, words.keys())
  const hint = didYouMean(nearest === undefined ? undefined : `-${nearest}`)
  return { where, found: `unknown flag${hint}`, expected: '' }
}

function leftOver(arg: string, before: string | undefined): Problem {
  const isForBoolean = /^(true|false)$/i.test(arg) && before?.startsWith('-') === true
  const hint = isForBoolean ? `; did you mean ${before}=${arg}?` : ''
  return { where: shownText(arg), found: `unexpected argument${hint}`, expected: '' }
}
