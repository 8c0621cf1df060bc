// `derpfleet config`: checks a configuration and prints references, without running a relay. `check` validates the
// configuration, `schema` prints the JSON Schema of the YAML file for editors, and `reference` prints the tables of all
// options as Markdown.

import { z } from 'zod'
import { fileSchema } from '#config/config-file.ts'
import { readFlags } from '#config/flags.ts'
import { boolean } from '#config/option-kind.ts'
import { didYouMean, nearestWord } from '#config/nearest-word.ts'
import { envNames, flagNames, isInFile, type Option, type OptionTable } from '#config/option.ts'
import { OPTION_GROUPS, OPTIONS } from '#config/options.ts'
import { ExitCode, helpAsFlag, type Command, type Io } from './command.ts'
import { reportProblems } from './report.ts'
import { EXIT_CODES } from './usage.ts'
import { checkConfiguration, readServeSettings } from './config-check.ts'

const USAGE = `usage: derpfleet config check [OPTION OF serve]...
       derpfleet config schema
       derpfleet config reference

  check      Validate the configuration. Accepts all options of serve
  schema     Print the JSON Schema of the YAML file
  reference  Print all options as Markdown tables

${EXIT_CODES}`

const ACTIONS: Readonly<Record<string, (args: readonly string[], io: Io) => number | Promise<number>>> = {
  check: (args, io) => {
    const raw = readServeSettings(args, io)
    return raw.values.get('help') ? printUsage(io) : checkConfiguration(raw, io)
  },
  schema: printer(() => `${JSON.stringify(z.toJSONSchema(fileSchema(OPTIONS)), null, 2)}\n`),
  reference: printer(optionReference),
}

const HELP = { help: { kind: boolean, fallback: 'false', about: 'Print this page' } } as const

export const config: Command = {
  name: 'config',
  summary: 'Check the configuration, or print its JSON Schema or the table of options',
  async run([name = '', ...rest], io) {
    if (/^--?h(elp)?$/.test(name)) return printUsage(io)
    const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined
    if (action !== undefined) return action(helpAsFlag(rest), io)
    const hint = didYouMean(nearestWord(name, [...Object.keys(ACTIONS), '-help']))
    const found = name === '' ? 'missing subcommand' : `unknown subcommand ${JSON.stringify(name)}${hint}`
    io.stderr.write(`derpfleet config: ${found}\n\n${USAGE}`)
    return ExitCode.misused
  },
}

function printUsage(io: Io): number {
  io.stdout.write(USAGE)
  return ExitCode.done
}

/** An action that prints a text and takes no arguments. */
function printer(print: () => string): (args: readonly string[], io: Io) => number {
  return (args, io) => {
    const { problems, values } = readFlags(HELP, args)
    const help = values.get('help')
    if (help !== undefined && boolean.parse(help.text) === true) return printUsage(io)
    if (problems.length > 0) {
      reportProblems(io.stderr, 'derpfleet config: nothing printed', problems)
      return ExitCode.misused
    }
    io.stdout.write(print())
    return ExitCode.done
  }
}

/** Every option with its names, default and description: the tables of the documentation. */
function optionReference(): string {
  return Object.entries(OPTION_GROUPS)
    .map(([title, table]) => `### ${title}\n\n${markdownTable(table)}`)
    .join('\n')
}

function markdownTable(table: OptionTable): string {
  const rows = Object.entries<Option>(table).map(([name, option]) => {
    const flags = flagNames(name, option).map((flag) => `\`-${flag}\``)
    const env = envNames(name, option).map((variable) => `\`${variable}\``)
    const about =
      option.unsupported === undefined ? option.about + reloadText(option) : unsupportedText(option)
    const cells = [
      flags.join(' '),
      env.join(' '),
      isInFile(option) ? `\`${name}\`` : '',
      defaultText(option),
      about,
    ]
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`
  })
  return `| flag | environment | file | default | description |\n|---|---|---|---|---|\n${rows.join('')}`
}

/** What a reload applies; other options need a restart. */
function reloadText({ reload }: Option): string {
  if (reload === undefined) return ''
  return reload === 'value' ? '. *Reloadable*' : '. *Reloadable: the content of the file*'
}

function defaultText(option: Option): string {
  if (option.fallback !== undefined) return `\`${option.fallback}\``
  return option.fallbackNote ?? ''
}

function unsupportedText({ about, unsupported }: Option): string {
  if (unsupported === undefined) return about
  const effect = unsupported.effect === 'error' ? 'the relay does not start' : 'the relay prints a warning'
  return `${about}. If set, ${effect}: ${unsupported.instead}`
}
