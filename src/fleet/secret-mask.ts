// Masks secrets in texts that are printed. A setting's value may contain a password or a key, by mistake or because
// it is one, and everyone with access to the log can read the problems. In fleet/, because problem.ts needs it.

const MASK = '***'
/** Pins and public keys have as many digits, but are public. */
const SECRET_KEY = /(?<!sha256-raw:|nodekey:)\b(?:privkey:)?[\da-f]{64}\b/gi

/** A value as it can be shown: in quotes, without secrets. */
export function shownText(value: string): string {
  // Everything before the last "@" of a URL may be a password, also in a mistyped URL.
  const withoutUser = value.replace(
    /^([^,]*?:\/{1,2})?[^,]*[:/][^,]*@/,
    (_all, scheme: string = '') => `${scheme}${MASK}@`,
  )
  return JSON.stringify(withoutSecrets(withoutUser))
}

/** A text without the secrets of the values in it. */
export function withoutSecrets(text: string): string {
  return (
    text
      .replaceAll(/(:\/{1,2})(?:[^\s"\\]|\\.)*@/g, `$1${MASK}@`)
      .replaceAll(/"[^":@]+:(?!\/)[^"@]+@/g, `"${MASK}@`)
      // A URL without its host: the password stands in place of the port.
      .replaceAll(/(:\/\/[^\s/?#:@"[\]]+):(?!\d*(?:[/?#,"\s]|$))[^/?#,"\s]*/g, `$1:${MASK}`)
      .replaceAll(/(:\/{1,2}[^\s"?]*\?)[^\s"]+/g, `$1${MASK}`)
      .replaceAll(SECRET_KEY, MASK)
  )
}
