// One run of a generator as a child process: its arguments, and the lines that it prints. Several processes can
// start at the same time: each gets the start time on the monotonic clock, which all processes of a machine share.

import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { createInterface } from 'node:readline'
import { generatorPath } from './build-generator.ts'
import type { Outcome } from './outcome.ts'

/** From sending the start time to the start: a busy machine needs it to wake every process. */
const START_DELAY_NS = 50_000_000n
/** Characters of standard error that are kept. */
const ERROR_CHARS_MAX = 4_000

/** A program that prints outcomes. */
interface Program {
  readonly name: string
  readonly path: string
}

type OutcomeOf<Event extends Outcome['event']> = Extract<Outcome, { event: Event }>

export class Generator {
  readonly command: string
  readonly #child: ChildProcessWithoutNullStreams
  readonly #lines: Outcome[] = []
  readonly #ended: Promise<void>
  readonly #waiting = new Set<() => void>()
  readonly #kill = (): void => void this.#child.kill('SIGKILL')
  #errors = ''
  #end: Error | 'done' | undefined

  private constructor({ name, path }: Program, args: readonly string[], cpu: string) {
    this.command = [name, ...args].join(' ')
    this.#child = spawn('taskset', ['-c', cpu, path, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
    process.once('exit', this.#kill)
    this.#child.stdin.on('error', () => undefined)
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-ERROR_CHARS_MAX)
    })
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.#lines.push(JSON.parse(line) as Outcome)
      this.#wakeWaiting()
    })
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) => this.#finish(error, resolve))
      this.#child.once('close', (code) => {
        this.#finish(code === 0 ? 'done' : new Error(`${this.command}\n${this.#errors.trim()}`), resolve)
      })
    })
  }

  /** Starts a run on the processors `cpu`, in the format of taskset; of the load generator, unless another program is given. */
  static async start(args: readonly string[], cpu: string, program?: Program): Promise<Generator> {
    return new Generator(program ?? { name: 'generator', path: await generatorPath() }, args, cpu)
  }

  /** Waits for the first line of that kind. @throws Error if the run ends without it */
  async next<Event extends Outcome['event']>(
    event: Event,
    isWanted: (line: OutcomeOf<Event>) => boolean = () => true,
  ): Promise<OutcomeOf<Event>> {
    for (;;) {
      const found = this.all(event).find(isWanted)
      if (found !== undefined) return found
      if (this.#end !== undefined) {
        throw this.#end === 'done' ? new Error(`${this.command}: ended without "${event}"`) : this.#end
      }
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  /** The lines of that kind so far. */
  all<Event extends Outcome['event']>(event: Event): OutcomeOf<Event>[] {
    return this.#lines.filter((line): line is OutcomeOf<Event> => line.event === event)
  }

  /** Sends the start time, for a run with --wait. */
  go(atNs: bigint): void {
    this.#child.stdin.write(`go ${atNs}\n`)
  }

  /** Ends standard input, for a run that lasts until then. */
  endInput(): void {
    this.#child.stdin.end()
  }

  /** Waits for the end of the run. @throws Error with its standard error if it failed */
  async done(): Promise<void> {
    await this.#ended
    if (this.#end instanceof Error) throw this.#end
  }

  /** Kills the process. This is not an error. */
  async stop(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  #finish(end: Error | 'done', resolve: () => void): void {
    process.off('exit', this.#kill)
    this.#end ??= end
    this.#wakeWaiting()
    resolve()
  }

  #wakeWaiting(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

/**
 * Runs one process per list of arguments. All start at the same time, once all are ready. Returns them when all have
 * ended.
 */
export async function runTogether(
  runs: readonly { readonly args: readonly string[]; readonly cpu: string }[],
): Promise<Generator[]> {
  const generators = await Promise.all(runs.map(({ args, cpu }) => Generator.start([...args, '--wait'], cpu)))
  try {
    await Promise.all(generators.map((generator) => generator.next('ready')))
    const at = process.hrtime.bigint() + START_DELAY_NS
    for (const generator of generators) generator.go(at)
    await Promise.all(generators.map((generator) => generator.done()))
    return generators
  } finally {
    await Promise.all(generators.map((generator) => generator.stop()))
  }
}
