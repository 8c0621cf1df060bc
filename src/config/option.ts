// What an option is, and by which names it goes: one word, which is its YAML key, its flag, and with prefix and in
// capitals its environment variable. derper's own names are accepted beside it.

import type { Kind } from './option-kind.ts'

export interface Option {
  readonly kind: Kind<unknown>
  /** derper's flag where the word differs (`-a` for `listen`). */
  readonly flag?: string
  /** Environment variables accepted besides the word's own. */
  readonly env?: readonly string[]
  /** The default, as an operator would write it. */
  readonly fallback?: string
  /** The default in words, where it depends on something. */
  readonly fallbackNote?: string
  /** What it is for, with the reason for its default; ends without a full stop. */
  readonly about: string
  /** Where it may come from, when not from everywhere: commands' switches are flags, bare secrets variables. */
  readonly only?: 'flag' | 'env' | 'flag and env'
  /** It is derper's, is understood, and has no effect here. */
  readonly unsupported?: Unsupported
}

export interface Unsupported {
  /** An error where running without it would change who can use the relay or what it serves. */
  readonly effect: 'error' | 'warning'
  /** What to do without it; ends without a full stop. */
  readonly instead: string
}

export type OptionTable = Readonly<Record<string, Option>>

/** The type of an option's value; undefined is among it unless the table has a default. */
export type OptionValue<O extends Option> = O extends { readonly fallback: string }
  ? KindValue<O>
  : KindValue<O> | undefined

type KindValue<O extends Option> = O['kind'] extends Kind<infer T> ? T : never

const ENV_PREFIX = 'DERPFLEET_'

/** The environment variable of an option's word. */
export function envName(word: string): string {
  return ENV_PREFIX + word.toUpperCase().replaceAll('-', '_')
}

/** Whether a variable is meant for this program by its name. */
export function isOwnEnvName(name: string): boolean {
  return name.startsWith(ENV_PREFIX)
}

/** Every environment variable that sets an option, its own first. */
export function envNames(word: string, option: Option): readonly string[] {
  return option.only === 'flag' ? [] : [envName(word), ...(option.env ?? [])]
}

/** Every flag that sets an option, without dashes, the one to show first. */
export function flagNames(word: string, option: Option): readonly string[] {
  if (option.only === 'env') return []
  return option.flag === undefined ? [word] : [option.flag, word]
}

/** What an option is called in a message when nothing has set it. */
export function displayName(word: string, option: Option): string {
  return option.only === 'env' ? envName(word) : `-${option.flag ?? word}`
}

/** Whether the YAML file may set it. */
export function isInFile(option: Option): boolean {
  return option.only === undefined
}
