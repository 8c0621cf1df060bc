// The generator as a child process: one run, its lines as they come, its outcome. Several can begin at the same
// moment: each is told when, on the clock that all processes of a machine share.

import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { createInterface } from 'node:readline'
import { generatorPath } from './build-generator.ts'
import type { Outcome } from './outcome.ts'

/** From the word to the beginning: what a busy machine needs to wake every process. */
const START_DELAY_NS = 50_000_000n
/** What a generator says of its trouble, at most. */
const ERROR_CHARS_MAX = 4_000

type OutcomeOf<Event extends Outcome['event']> = Extract<Outcome, { event: Event }>

export class Generator {
  readonly command: string
  readonly #child: ChildProcessWithoutNullStreams
  readonly #lines: Outcome[] = []
  readonly #over: Promise<void>
  readonly #waiting = new Set<() => void>()
  readonly #kill = (): void => void this.#child.kill('SIGKILL')
  #errors = ''
  #end: Error | 'done' | undefined

  private constructor(path: string, args: readonly string[], cpu: string) {
    this.command = ['generator', ...args].join(' ')
    this.#child = spawn('taskset', ['-c', cpu, path, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
    process.once('exit', this.#kill)
    this.#child.stdin.on('error', () => undefined)
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-ERROR_CHARS_MAX)
    })
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.#lines.push(JSON.parse(line) as Outcome)
      this.#tell()
    })
    this.#over = new Promise((resolve) => {
      this.#child.once('error', (error) => this.#finish(error, resolve))
      this.#child.once('close', (code) => {
        this.#finish(code === 0 ? 'done' : new Error(`${this.command}\n${this.#errors.trim()}`), resolve)
      })
    })
  }

  /** Starts a run on a processor (`1`, or `0,1`). */
  static async start(args: readonly string[], cpu: string): Promise<Generator> {
    return new Generator(await generatorPath(), args, cpu)
  }

  /** The first such line of that kind, now or when it comes. @throws Error when the run ends without it */
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

  /** All lines of that kind so far. */
  all<Event extends Outcome['event']>(event: Event): OutcomeOf<Event>[] {
    return this.#lines.filter((line): line is OutcomeOf<Event> => line.event === event)
  }

  /** For runs started with --wait: when to begin. */
  go(atNs: bigint): void {
    this.#child.stdin.write(`go ${atNs}\n`)
  }

  /** Waits for the run's end. @throws Error with what it said when it failed */
  async done(): Promise<void> {
    await this.#over
    if (this.#end instanceof Error) throw this.#end
  }

  /** Ends it at once; not an error. */
  async stop(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#over
  }

  #finish(end: Error | 'done', resolve: () => void): void {
    process.off('exit', this.#kill)
    this.#end ??= end
    this.#tell()
    resolve()
  }

  #tell(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

/** One line of arguments per process; all begin together once all are ready. Answers them when all are done. */
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
