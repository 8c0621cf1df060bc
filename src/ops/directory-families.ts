// The metric families of the key directory.

import { sample, type MetricFamily } from './metric-family.ts'

export interface DirectoryFigures {
  readonly isConnected: boolean
  /** The address of the server, or the reason why none is connected. */
  readonly detail: string
  readonly connects: number
  readonly announced: number
  readonly answers: { readonly at: number; readonly nowhere: number; readonly unknown: number }
}

/** Empty without a key directory. */
export function directoryFamilies(figures: DirectoryFigures | undefined): MetricFamily[] {
  if (figures === undefined) return []
  const { isConnected, connects, announced, answers } = figures
  return [
    {
      name: 'derp_key_directory_connected',
      type: 'gauge',
      help: '1 if this relay is connected to a server of the key directory.',
      samples: [sample(Number(isConnected))],
    },
    {
      name: 'derp_key_directory_connects_total',
      type: 'counter',
      help: 'Connections made to a server of the key directory.',
      samples: [sample(connects)],
    },
    {
      name: 'derp_key_directory_announced_keys',
      type: 'gauge',
      help: 'Home keys of this relay that are announced to the key directory.',
      samples: [sample(announced)],
    },
    {
      name: 'derp_key_directory_answers_total',
      type: 'counter',
      help: 'Key lookups by answer; unknown means that no answer came in time.',
      samples: [
        sample(answers.at, { result: 'found' }),
        sample(answers.nowhere, { result: 'nowhere' }),
        sample(answers.unknown, { result: 'unknown' }),
      ],
    },
  ]
}
