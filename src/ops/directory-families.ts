// What metrics say of the key directory.

import { sample, type MetricFamily } from './metric-family.ts'

export interface DirectoryFigures {
  readonly isConnected: boolean
  /** The server, or why there is none. */
  readonly detail: string
  readonly connects: number
  readonly announced: number
  readonly answers: { readonly at: number; readonly nowhere: number; readonly unknown: number }
}

/** None where there is no key directory. */
export function directoryFamilies(figures: DirectoryFigures | undefined): MetricFamily[] {
  if (figures === undefined) return []
  const { isConnected, connects, announced, answers } = figures
  return [
    {
      name: 'derp_key_directory_connected',
      type: 'gauge',
      help: '1 when a server of the key directory is reached.',
      samples: [sample(Number(isConnected))],
    },
    {
      name: 'derp_key_directory_connects_total',
      type: 'counter',
      help: 'Times that a server of the key directory was reached.',
      samples: [sample(connects)],
    },
    {
      name: 'derp_key_directory_announced_keys',
      type: 'gauge',
      help: 'Home keys of this relay that the key directory is told of.',
      samples: [sample(announced)],
    },
    {
      name: 'derp_key_directory_answers_total',
      type: 'counter',
      help: 'Keys that were looked up, by the answer; unknown is that there was none in time.',
      samples: [
        sample(answers.at, { result: 'found' }),
        sample(answers.nowhere, { result: 'nowhere' }),
        sample(answers.unknown, { result: 'unknown' }),
      ],
    },
  ]
}
