// Compiles the generator of logins as Go clients make them (go-logins/), once per state of its sources and per version of
// Go. It is in Go because its TLS is what Tailscale's clients have. It needs no modules but Go's own library.

import { fileURLToPath } from 'node:url'
import { reasonOf } from '#fleet/problem.ts'
import { go, goNeeded, needGo } from '../../test/support/foreign-build.ts'
import { compiledOnce } from './program-cache.ts'

/**
 * The path of the compiled program, or the reason why this machine cannot compile it. @throws Error if it does not compile
 */
export async function goLogins(): Promise<{ readonly path: string } | { readonly missing: string }> {
  const missing = await needGo(goNeeded.client).then(() => undefined, reasonOf)
  if (missing !== undefined) return { missing }
  const folder = fileURLToPath(new URL('go-logins/', import.meta.url))
  const key = await go(['env', 'GOVERSION', 'GOARCH'], {}, folder)
  const path = await compiledOnce('go-logins', { folder, files: /\.(go|mod)$/, key }, async (_, made) => {
    // Without the commit in it, for which Go would run git.
    await go(['build', '-trimpath', '-buildvcs=false', '-o', made, '.'], { CGO_ENABLED: '0' }, folder)
  })
  return { path }
}
