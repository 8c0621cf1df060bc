// `derpfleet config`: looks at settings without running anything. `check` judges them, `schema` prints the YAML
// file's JSON Schema for editors, `reference` prints the table of all options as Markdown.

import { z } from 'zod'
import { fileSchema } from '#config/config-file.ts'
import { envNames, flagNames, isInFile, type Option, type OptionTable } from '#config/option.ts'
import { OPTION_GROUPS, OPTIONS } from '#config/options.ts'
import { ExitCode, type Command } from './command.ts'
import { check, readServeSettings } from './serve.ts'

const USAGE = `usage: derpfleet config check [any flag of serve]...
       derpfleet config schema
       derpfleet config reference
`

export const config: Command = {
  name: 'config',
  summary: "Check settings, or print the file's JSON Schema or the table of options",
  async run([action, ...args], io) {
    if (action === 'check') return check(readServeSettings(args, io), io)
    if (action === 'schema' && args.length === 0) {
      io.stdout.write(`${JSON.stringify(z.toJSONSchema(fileSchema(OPTIONS)), null, 2)}\n`)
      return ExitCode.done
    }
    if (action === 'reference' && args.length === 0) {
      io.stdout.write(optionReference())
      return ExitCode.done
    }
    if (action !== undefined && /^--?h(elp)?$/.test(action)) {
      io.stdout.write(USAGE)
      return ExitCode.done
    }
    io.stderr.write(USAGE)
    return ExitCode.misused
  },
}

/** Every option with its names, default and reason: the tables of the documentation. */
function optionReference(): string {
  return Object.entries(OPTION_GROUPS)
    .map(([title, table]) => `### ${title}\n\n${markdownTable(table)}`)
    .join('\n')
}

function markdownTable(table: OptionTable): string {
  const rows = Object.entries<Option>(table).map(([word, option]) => {
    const flags = flagNames(word, option).map((flag) => `\`-${flag}\``)
    const env = envNames(word, option).map((name) => `\`${name}\``)
    const about = option.unsupported === undefined ? option.about : unsupportedText(option)
    const cells = [
      flags.join(' '),
      env.join(' '),
      isInFile(option) ? `\`${word}\`` : '',
      defaultText(option),
      about,
    ]
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`
  })
  return `| flag | environment | file | default | what and why |\n|---|---|---|---|---|\n${rows.join('')}`
}

function defaultText(option: Option): string {
  if (option.fallback !== undefined) return `\`${option.fallback}\``
  return option.fallbackNote ?? ''
}

function unsupportedText({ about, unsupported }: Option): string {
  if (unsupported === undefined) return about
  const effect = unsupported.effect === 'error' ? 'the start is refused' : 'a warning'
  return `${about}. When set: ${effect}; ${unsupported.instead}`
}
