// Prints the results of micro benchmarks: one line each with nanoseconds per operation and operations per second, as
// medians over rounds with their median deviation. vitest's own table shows milliseconds with four decimals, too coarse
// for an operation of 20 ns. Compares nothing with a limit.

import type { TestBenchmark } from 'vitest'
import type { Reporter, TestCase, TestModule } from 'vitest/node'

const NAME_WIDTH = 58

export class TimePerOperation implements Reporter {
  #heading = ''
  #failedCount = 0

  onTestCaseBenchmark(testCase: TestCase, benchmark: TestBenchmark): void {
    const heading = testCase.fullName
    if (heading !== this.#heading) {
      this.#heading = heading
      const columns = `${'ns/op'.padStart(12)}${'ops/s'.padStart(14)}${'spread'.padStart(10)}`
      console.log(`\n${heading.padEnd(NAME_WIDTH)}${columns}`)
    }
    for (const { name, latency } of benchmark.tasks) {
      const medianNs = latency.p50 * 1e6
      const spread = latency.mad / latency.p50
      const figures = `${decimals(medianNs).padStart(12)}${whole(1e9 / medianNs).padStart(14)}`
      console.log(
        `  ${name.padEnd(NAME_WIDTH - 2)}${figures}${`±${(100 * spread).toFixed(1)} %`.padStart(10)}`,
      )
    }
  }

  onTestCaseResult(testCase: TestCase): void {
    for (const error of testCase.result().errors ?? []) this.#complain(testCase.fullName, error)
  }

  onTestModuleEnd(module: TestModule): void {
    for (const error of module.errors()) this.#complain(module.relativeModuleId, error)
  }

  onTestRunEnd(): void {
    if (this.#failedCount > 0) console.log(`\n${this.#failedCount} failed`)
  }

  #complain(what: string, error: { readonly message: string; readonly stack?: string }): void {
    this.#failedCount++
    console.log(`\n${what} failed: ${error.stack ?? error.message}`)
  }
}

function decimals(ns: number): string {
  return ns < 100 ? ns.toFixed(1) : whole(ns)
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en')
}
