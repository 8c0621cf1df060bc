// Reads a command line in the syntax of Go's flag package, as derper does: one dash or two, `-flag value` or
// `-flag=value`, booleans alone or with `=`, `-h` for `-help`, `--` to end the flags. Stricter in one point: an
// argument that belongs to no flag is a problem. Go stops reading there, and would ignore every flag after it (`-stun
// false -verify-clients`).

import type { Problem } from '#fleet/problem.ts'
import { shownText } from '#fleet/secret-mask.ts'
import { didYouMean, nearestWord } from './nearest-word.ts'
import { envName, flagNames, type Option, type OptionTable } from './option.ts'
import type { RawOption, RawOptions } from './raw-option.ts'

export interface Flags {
  readonly values: RawOptions
  readonly problems: readonly Problem[]
}

/** Reads all arguments. Of several values for one flag, the last counts. */
export function readFlags(table: OptionTable, args: readonly string[]): Flags {
  const options = optionsByFlag(table)
  const values = new Map<string, RawOption>()
  const problems: Problem[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? ''
    if (arg === '--') {
      problems.push(...args.slice(at + 1).map((left) => unexpected(left, undefined)))
      break
    }
    const [, flag = '', inline] = /^--?([^-=][^=]*)(?:=([^]*))?$/.exec(arg) ?? []
    if (flag === '') {
      problems.push(unexpected(arg, args[at - 1]))
      continue
    }
    const [name, option] = options.get(flag) ?? []
    if (name === undefined || option === undefined) {
      problems.push(unknownFlag(flag, table, options))
      // Skips the next argument if it may be the flag's value, so that one mistake is one problem.
      if (inline === undefined && isValue(args[at + 1])) at++
      continue
    }
    const given = inline ?? (option.kind.isBoolean ? 'true' : args[++at])
    if (given === undefined) {
      problems.push({ where: `-${flag}`, found: 'missing value', expected: option.kind.expected })
    } else {
      values.set(name, { text: given, source: 'flag', where: `-${flag}` })
    }
  }
  return { values, problems }
}

function optionsByFlag(table: OptionTable): ReadonlyMap<string, readonly [string, Option]> {
  const options = new Map<string, readonly [string, Option]>()
  for (const [name, option] of Object.entries(table)) {
    for (const flag of flagNames(name, option)) options.set(flag, [name, option])
  }
  const help = options.get('help')
  return help === undefined ? options : options.set('h', help)
}

function isValue(arg: string | undefined): boolean {
  return arg !== undefined && !arg.startsWith('-')
}

function unknownFlag(flag: string, table: OptionTable, options: ReadonlyMap<string, unknown>): Problem {
  const where = `-${flag}`
  // Every user of the machine can read a secret on a command line.
  if (table[flag]?.only === 'env') {
    return { where, found: `unknown flag; set the environment variable ${envName(flag)}`, expected: '' }
  }
  const nearest = nearestWord(flag, options.keys())
  const hint = didYouMean(nearest === undefined ? undefined : `-${nearest}`)
  return { where, found: `unknown flag${hint}`, expected: '' }
}

function unexpected(arg: string, before: string | undefined): Problem {
  const isForBoolean = /^(true|false)$/i.test(arg) && before?.startsWith('-') === true
  const hint = isForBoolean ? `; did you mean ${before}=${arg}?` : ''
  return { where: shownText(arg), found: `unexpected argument${hint}`, expected: '' }
}
