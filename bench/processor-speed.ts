// How fast the servers' processor is while a round is measured. A core of a virtual machine may be the other hardware thread of a
// core that another machine keeps busy: then everything takes up to twice the processor time, which no server causes and no
// counter shows. So the generator's program does the same work fifty times a second on that processor, a thousandth of its time.

import { Generator } from './load/generator-process.ts'

const SAMPLES_PER_SECOND = 50
/** Long enough for the host to give a busy processor a core of its own. */
const START_SECONDS = 2

export class ProcessorSpeed {
  readonly #cpu: string
  /** The quickest twentieth of all samples of a round: the best that was ever seen. */
  #bestNs: number

  private constructor(cpu: string, bestNs: number) {
    this.#cpu = cpu
    this.#bestNs = bestNs
  }

  /** Measures the processors `cpu`, in the format of taskset, which should have nothing else to do meanwhile. */
  static async start(cpu: string): Promise<ProcessorSpeed> {
    const generator = await Generator.start(['--speed', '--secs', `${START_SECONDS}`], cpu)
    await generator.done()
    return new ProcessorSpeed(cpu, (await generator.next('speed')).fastNs)
  }

  /** Runs `work`. `slowness` says how many times as long as at best the same work took meanwhile, by the median. */
  async during<Done>(work: () => Promise<Done>): Promise<{ measured: Done; slowness: number }> {
    const generator = await Generator.start(['--speed', '--rate', `${SAMPLES_PER_SECOND}`], this.#cpu)
    try {
      const measured = await work()
      generator.endInput()
      await generator.done()
      const { fastNs, medianNs, samples } = await generator.next('speed')
      if (samples === 0) return { measured, slowness: 1 }
      this.#bestNs = Math.min(this.#bestNs, fastNs)
      return { measured, slowness: medianNs / this.#bestNs }
    } finally {
      await generator.stop()
    }
  }
}
