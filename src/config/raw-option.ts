// An option's value as the operator wrote it: the text and its place. It may be invalid; option-values.ts parses it.

/** Sources in their order of precedence; a preset is a command's own default. */
export type OptionSource = 'flag' | 'env' | 'file' | 'preset'

export interface RawOption {
  readonly text: string
  readonly source: OptionSource
  /** The place for messages: `-threads`, `DERP_ADDR`, `/etc/derpfleet.yaml:12: threads`. */
  readonly where: string
}

/** Values by the names of their options. */
export type RawOptions = ReadonlyMap<string, RawOption>
