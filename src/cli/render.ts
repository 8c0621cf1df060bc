// `derpfleet render`: prints what hosts, DNS and firewalls of a fleet need, from its file alone, in the form of the tool that
// sets them up. The content is fleet/fleet-plan.ts; this file has the command line and the output.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { LineCounter } from 'yaml'
import { readConfigFile } from '#config/config-file.ts'
import { Diagnostics } from '#config/diagnostics.ts'
import { readFileText, whyUnread } from '#config/file-text.ts'
import { readFlags } from '#config/flags.ts'
import { didYouMean, nearestWord } from '#config/nearest-word.ts'
import { boolean, text } from '#config/option-kind.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { OPTIONS } from '#config/options.ts'
import { fleetPlan, PlanForm, type PlanFile } from '#fleet/fleet-plan.ts'
import { problemText, reasonOf } from '#fleet/problem.ts'
import type { Region } from '#fleet/region.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import {
  hasAdmission,
  REGIONS_PATH,
  SETTINGS_OF_THE_FILE,
  SETTINGS_PATH,
  type RelaySettings,
} from '#fleet/relay-settings.ts'
import { parseYaml } from '#fleet/yaml-text.ts'
import { runCommandLine, type CommandLine } from './command-line.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { reportProblems, reportWarnings } from './report.ts'
import { EXIT_CODES, optionLines } from './usage.ts'

const RENDER_OPTIONS = {
  'regions-file': {
    kind: text('the path of a YAML file of regions', 'FILE'),
    about: "Use this file of the fleet's regions and their relays",
  },
  node: {
    kind: text('the name of a node', 'NAME'),
    fallbackNote: 'all relays',
    about: 'Print only what is of the relay with this node. For helm: the values of its region',
  },
  settings: {
    kind: text('the path of a YAML file of options of serve', 'FILE'),
    about:
      'Add these options of serve to the settings of every relay, such as verify-client-url. Not for helm',
  },
  o: {
    kind: text('the path of a folder', 'FOLDER'),
    about: 'Write the files into this folder, which is created, instead of printing them',
  },
  help: { kind: boolean, fallback: 'false', about: 'Print this page' },
} as const satisfies OptionTable

const FORM_ABOUT: Readonly<Record<PlanForm, string>> = {
  systemd: "For each relay its settings file and the unit's drop-in; DNS records; who connects to whom",
  'ansible-inventory': 'The same as an inventory of Ansible',
  helm: 'For each region the values of a release of the Helm chart',
  terraform: "The variable `fleet`: what the outputs of Terraform's module fleet have",
}

export const render: Command = {
  name: 'render',
  summary:
    'Print what the hosts of a fleet need: settings, units, DNS records, for the tool that sets them up',
  async run(args, io) {
    const texts = { usage, refusal: 'derpfleet render: nothing printed' }
    return await runCommandLine(readArguments(args), io, texts, run)
  },
}

interface RenderArguments {
  readonly form: PlanForm
  readonly regionsPath: string
  readonly node: string | undefined
  readonly settingsPath: string | undefined
  readonly folder: string | undefined
}

function readArguments([word = '', ...args]: readonly string[]): CommandLine<RenderArguments> {
  const isFlag = word.startsWith('-')
  const flags = readFlags(RENDER_OPTIONS, isFlag ? [word, ...args] : args)
  const diagnostics = new Diagnostics()
  const { problems } = diagnostics
  problems.push(...flags.problems)
  const values = new OptionValues(RENDER_OPTIONS, flags.values, problems)
  if (values.get('help')) return 'help'
  const form = Object.hasOwn(PlanForm, word) ? PlanForm[word as keyof typeof PlanForm] : undefined
  const forms = Object.keys(FORM_ABOUT)
  if (form === undefined) {
    const found = word === '' || isFlag ? 'the form is missing' : `unknown form ${JSON.stringify(word)}`
    diagnostics.addProblem('render', found + didYouMean(nearestWord(word, forms)), forms.join(', '))
  }
  const regionsPath = values.get('regions-file')
  if (regionsPath === undefined) {
    diagnostics.addProblem('-regions-file', 'is not set', RENDER_OPTIONS['regions-file'].kind.expected)
  }
  const settingsPath = values.get('settings')
  if (form === 'helm' && settingsPath !== undefined) {
    diagnostics.addProblem('-settings', 'is not for helm', 'the value `settings` of the chart')
  }
  if (form === undefined || regionsPath === undefined || problems.length > 0) return { problems }
  return { form, regionsPath, node: values.get('node'), settingsPath, folder: values.get('o') }
}

async function run(asked: RenderArguments, io: Io): Promise<number> {
  const diagnostics = new Diagnostics()
  const file = readRegions(asked.regionsPath, diagnostics)
  const common = asked.settingsPath === undefined ? {} : readCommon(asked.settingsPath, diagnostics)
  reportWarnings(io.stderr, diagnostics.warnings)
  const { form, node, folder } = asked
  const files = file === undefined ? undefined : fleetPlan(form, { regions: file.regions, common, node })
  if (file !== undefined && files === undefined) {
    const names = file.regions.flatMap(({ nodes }) => nodes.map(({ name }) => name))
    const found = `${asked.regionsPath} has no node ${JSON.stringify(node)}`
    diagnostics.addProblem('-node', found, names.slice(0, NAMES_SHOWN).join(', '))
  }
  if (files === undefined || diagnostics.problems.length > 0) {
    reportProblems(io.stderr, 'derpfleet render: nothing printed', diagnostics.problems)
    return ExitCode.failed
  }
  if (form !== 'helm' && !hasAdmission(common)) reportWarnings(io.stderr, [NO_ADMISSION])
  if (folder !== undefined) return writeFiles(folder, withRegionsFiles(files, file?.text ?? ''), io)
  io.stdout.write(printed(files))
  return ExitCode.done
}

const NAMES_SHOWN = 20
const NO_ADMISSION =
  'the settings say not who may use the relays; add verify-client-url, verify-clients, allow-keys-file, lease-file or open-relay by -settings'

function readRegions(
  path: string,
  diagnostics: Diagnostics,
): { readonly regions: readonly Region[]; readonly text: string } | undefined {
  const file = readFileText(path)
  if (!('text' in file)) return diagnostics.addProblem('-regions-file', `${path} ${whyUnread(file)}`)
  const read = readRegionsFile(path, file.text)
  for (const warning of read.warnings) diagnostics.addWarning(problemText(warning))
  if ('regions' in read) return { regions: read.regions, text: file.text }
  diagnostics.problems.push(...read.problems)
  return undefined
}

/** The options for all relays. Those that the fleet's file gives to each relay are problems. */
function readCommon(path: string, diagnostics: Diagnostics): RelaySettings {
  const file = readFileText(path)
  if (!('text' in file)) {
    diagnostics.addProblem('-settings', `${path} ${whyUnread(file)}`)
    return {}
  }
  const { values, problems } = readConfigFile(OPTIONS, path, file.text)
  diagnostics.problems.push(...problems)
  const parsed = new OptionValues(OPTIONS, values, diagnostics.problems)
  for (const name of SETTINGS_OF_THE_FILE) {
    if (!parsed.isGiven(name)) continue
    diagnostics.addProblem(parsed.where(name), "is each relay's own", "the value in the fleet's file")
  }
  if (diagnostics.problems.length > 0) return {}
  // Its shape was just checked.
  return (parseYaml(file.text, new LineCounter()).toJS() ?? {}) as RelaySettings
}

/** One file alone, or several with headings. */
function printed(files: readonly PlanFile[]): string {
  const [only] = files
  if (files.length === 1 && only !== undefined) return only.text
  return files.map(({ path, text: content }) => `# ==> ${path}\n${content}`).join('\n')
}

/** A host's folder is complete: it has the fleet's file, too. */
function withRegionsFiles(files: readonly PlanFile[], regionsText: string): readonly PlanFile[] {
  return files.flatMap((file) => {
    if (!file.path.endsWith(SETTINGS_PATH)) return [file]
    const path = file.path.replace(SETTINGS_PATH, REGIONS_PATH)
    return [file, { path, text: regionsText }]
  })
}

function writeFiles(folder: string, files: readonly PlanFile[], io: Io): number {
  for (const { path, text: content } of files) {
    const whole = join(folder, path)
    try {
      mkdirSync(dirname(whole), { recursive: true })
      writeFileSync(whole, content)
    } catch (error) {
      const problem = { where: whole, found: `cannot be written: it ${reasonOf(error)}`, expected: '' }
      reportProblems(io.stderr, 'derpfleet render: not all files written', [problem])
      return ExitCode.failed
    }
    io.stdout.write(`${whole}\n`)
  }
  return ExitCode.done
}

function usage(): string {
  const forms = Object.entries(FORM_ABOUT).map(([form, about]) => `  ${form.padEnd(18)} ${about}\n`)
  return `usage: derpfleet render FORM -regions-file FILE [-FLAG VALUE]...

${forms.join('')}
${optionLines(RENDER_OPTIONS)}
${EXIT_CODES}`
}
