// Keeps secrets out of what is printed: an operator's word may hold a password or a key, by mistake or by nature, and
// complaints are read by whoever reads the log.

const MASK = '***'
/** Pins and public keys have as many digits, and are meant to be seen. */
const SECRET_KEY = /(?<!sha256-raw:|nodekey:)\b(?:privkey:)?[\da-f]{64}\b/gi

/** A value that somebody gave, fit to be shown. */
export function shownText(value: string): string {
  // Whatever stands before the last "@" of a URL may be a password, also where it is no URL for being mistyped.
  const withoutUser = value.replace(
    /^([^,]*?:\/{1,2})?[^,]*[:/][^,]*@/,
    (_all, scheme: string = '') => `${scheme}${MASK}@`,
  )
  return JSON.stringify(withoutSecrets(withoutUser))
}

/** A text that may have such values in it. */
export function withoutSecrets(text: string): string {
  return (
    text
      .replaceAll(/(:\/{1,2})(?:[^\s"\\]|\\.)*@/g, `$1${MASK}@`)
      .replaceAll(/"[^":@]+:(?!\/)[^"@]+@/g, `"${MASK}@`)
      // The host was forgotten: the password stands where a port should.
      .replaceAll(/(:\/\/[^\s/?#:@"[\]]+):(?!\d*(?:[/?#,"\s]|$))[^/?#,"\s]*/g, `$1:${MASK}`)
      .replaceAll(/(:\/{1,2}[^\s"?]*\?)[^\s"]+/g, `$1${MASK}`)
      .replaceAll(SECRET_KEY, MASK)
  )
}
