// A value as it was found: text, and where it stands. Not yet known to be valid.

/** Sources in their order of precedence. */
export type OptionSource = 'flag' | 'env' | 'file' | 'preset'

export interface RawOption {
  readonly text: string
  readonly source: OptionSource
  /** What a message points to: `-threads`, `DERP_ADDR`, `/etc/derpfleet.yaml:12: threads`. */
  readonly where: string
}

/** Values by their option's word. */
export type RawOptions = ReadonlyMap<string, RawOption>
