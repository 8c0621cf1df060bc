// Writes the dashboards beside this script:
//
//   node deploy/grafana/write.ts [--runbooks URL] [--to FOLDER]
//
// The files that are checked in are those without options. --runbooks is where the pages of docs/runbooks can be read.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { copyToChart } from '../helm/write.ts'
import { DEFAULT_OPTIONS } from '../prometheus/rule.ts'
import { boardText, type Board, type BoardOptions } from './board.ts'
import { FLEET_BOARD } from './fleet-board.ts'
import { NODE_BOARD } from './node-board.ts'
import { REGIONS_BOARD } from './regions-board.ts'

const BOARDS: Readonly<Record<string, Board>> = {
  'fleet.json': FLEET_BOARD,
  'regions.json': REGIONS_BOARD,
  'node.json': NODE_BOARD,
}

/** The texts of all boards by file name. */
export function boardFiles(options: BoardOptions = DEFAULT_OPTIONS): Readonly<Record<string, string>> {
  const texts = Object.entries(BOARDS).map(([name, board]) => [name, boardText(board, options)])
  return Object.fromEntries(texts) as Record<string, string>
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      runbooks: { type: 'string', default: DEFAULT_OPTIONS.runbooks },
      to: { type: 'string', default: import.meta.dirname },
    },
  })
  const { runbooks, to } = values
  for (const [name, text] of Object.entries(boardFiles({ runbooks }))) writeFileSync(join(to, name), text)
  if (to === import.meta.dirname) copyToChart()
}
