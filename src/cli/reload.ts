// `derpfleet reload`: makes a relay on this host read its files again, as SIGHUP does, and prints what has changed.

import { verbCommand } from './verb-command.ts'

/** Files are read within a second; a busy disk takes longer. */
const TIMEOUT_MS = 60_000

export const reload = verbCommand({
  name: 'reload',
  summary: 'Make a relay that runs on this host read its files again',
  options: {},
  request: () => ({ method: 'POST', verb: 'reload', timeoutMs: TIMEOUT_MS }),
  text: reloadText,
})

/** The shape of the relay's answer, as far as it is printed. */
interface Reload {
  readonly changed?: readonly string[]
  readonly needsRestart?: readonly string[]
  readonly files?: readonly { readonly path: string; readonly result: string }[]
}

function reloadText(body: Readonly<Record<string, unknown>>): string {
  const { changed = [], needsRestart = [], files = [] }: Reload = body
  const lines = [
    changed.length === 0 ? 'reloaded; no setting has changed' : 'reloaded; settings that have changed:',
    ...changed.map((change) => `  ${change}`),
    ...(needsRestart.length === 0 ? [] : ['needs a restart:']),
    ...needsRestart.map((change) => `  ${change}`),
    ...(files.length === 0 ? [] : ['files:']),
    ...files.map(({ path, result }) => `  ${path}: ${result}`),
  ]
  return `${lines.join('\n')}\n`
}
