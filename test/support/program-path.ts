// Where the program is that tests start. Under vitest it is the build of `built-program.ts`, which has the form of the
// published package and starts in two thirds of the time. Elsewhere, as in the demo and in benches, it is the sources.

import { join } from 'node:path'

/** The launcher of the sources, as a clone has it. */
export const SOURCE_PROGRAM = join(import.meta.dirname, '../../bin/derpfleet')

/** Not an option's name (`DERPFLEET_…`): relays read those. */
export const PROGRAM_VARIABLE = 'PROGRAM_UNDER_TEST'

/** The launcher. */
export const PROGRAM = process.env[PROGRAM_VARIABLE] ?? SOURCE_PROGRAM
