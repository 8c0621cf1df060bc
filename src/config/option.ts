// What an option is, and the names by which it can be set. An option has one name, which is its YAML key and its
// flag; with a prefix and in capitals, it is its environment variable. derper's own names are accepted as well.

import type { OptionKind } from './option-kind.ts'

export interface Option {
  readonly kind: OptionKind<unknown>
  /** derper's flag, if it differs from the name (`-a` for `listen`). */
  readonly flag?: string
  /** Environment variables that are accepted besides the one derived from the name. */
  readonly env?: readonly string[]
  /** The default, as an operator would write it. */
  readonly fallback?: string
  /** A description of the default, if it depends on something. */
  readonly fallbackNote?: string
  /** The help text, with the reason for the default; ends without a full stop. */
  readonly about: string
  /** The only sources that may set it. Switches of commands are flags; secrets are environment variables. */
  readonly only?: 'flag' | 'env' | 'flag and env'
  /**
   * What a reload applies while the relay serves: a new value (and for a file its new content), or only the new content of
   * the file that it names. Without it, a new value needs a restart.
   */
  readonly reload?: 'value' | 'content'
  /** An option of derper's that is accepted but has no effect here. */
  readonly unsupported?: Unsupported
}

export interface Unsupported {
  /** An error if running without the option would change which clients can use the relay, or what it serves. */
  readonly effect: 'error' | 'warning'
  /** What to do instead; ends without a full stop. */
  readonly instead: string
}

/** Options by their names. */
export type OptionTable = Readonly<Record<string, Option>>

/** The type of an option's value; includes undefined unless the table has a default. */
export type OptionValue<O extends Option> = O extends { readonly fallback: string }
  ? KindValue<O>
  : KindValue<O> | undefined

type KindValue<O extends Option> = O['kind'] extends OptionKind<infer T> ? T : never

const ENV_PREFIX = 'DERPFLEET_'

/** The environment variable that is derived from an option's name. */
export function envName(name: string): string {
  return ENV_PREFIX + name.toUpperCase().replaceAll('-', '_')
}

/** Whether a variable has this program's prefix. */
export function isOwnEnvName(variable: string): boolean {
  return variable.startsWith(ENV_PREFIX)
}

/** Every environment variable that sets an option; the one derived from its name comes first. */
export function envNames(name: string, option: Option): readonly string[] {
  return option.only === 'flag' ? [] : [envName(name), ...(option.env ?? [])]
}

/** Every flag that sets an option, without dashes; the one to show comes first. */
export function flagNames(name: string, option: Option): readonly string[] {
  if (option.only === 'env') return []
  return option.flag === undefined ? [name] : [option.flag, name]
}

/** The option in a message, if nothing has set it. */
export function displayName(name: string, option: Option): string {
  return option.only === 'env' ? envName(name) : `-${option.flag ?? name}`
}

/** Whether the YAML file may set it. */
export function isInFile(option: Option): boolean {
  return option.only === undefined
}
