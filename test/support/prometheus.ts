// A real Prometheus that scrapes relays of a test and evaluates the project's rules, both once a second.

import { spawnSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, startProcess, type RunningProcess } from './process.ts'

export const hasPrometheus = spawnSync('prometheus', ['--version']).error === undefined

/** What is scraped: the host and port of its metrics by job. */
export type Targets = Readonly<Record<string, readonly string[]>>

export interface Series {
  readonly metric: Readonly<Record<string, string>>
  readonly value: number
}

export interface ActiveAlert {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly state: 'pending' | 'firing'
}

export class Prometheus implements AsyncDisposable {
  readonly url: string
  readonly #folder: string
  readonly #process: RunningProcess

  private constructor(url: string, folder: string, running: RunningProcess) {
    this.url = url
    this.#folder = folder
    this.#process = running
  }

  /**
   * @param folder for its files
   * @param rules the texts of rule files by name
   */
  static async start(
    folder: string,
    targets: Targets,
    rules: Readonly<Record<string, string>>,
  ): Promise<Prometheus> {
    const at = `127.0.0.1:${await freePort()}`
    await mkdir(folder, { recursive: true })
    for (const [name, text] of Object.entries(rules)) await writeFile(join(folder, name), text)
    await writeTargets(folder, targets)
    const jobs = Object.keys(targets).map((job) => ({
      job_name: job,
      file_sd_configs: [{ files: [join(folder, `${job}.targets.json`)], refresh_interval: '1s' }],
    }))
    const config = {
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      rule_files: Object.keys(rules).map((name) => join(folder, name)),
      scrape_configs: jobs,
    }
    // JSON is YAML.
    await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(config))
    const args = [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${at}`,
    ]
    const running = await startProcess('prometheus', args, {
      readyWhen: /Server is ready to receive web requests/,
    })
    return new Prometheus(`http://${at}`, folder, running)
  }

  /** Replaces what is scraped. */
  async setTargets(targets: Targets): Promise<void> {
    await writeTargets(this.#folder, targets)
  }

  /** What the expression is now. @throws Error if it is refused */
  async query(expr: string): Promise<readonly Series[]> {
    const { result } = await this.#api<{
      result: readonly { metric: Record<string, string>; value: [number, string] }[]
    }>(`query?query=${encodeURIComponent(expr)}`)
    return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }))
  }

  async alerts(): Promise<readonly ActiveAlert[]> {
    return (await this.#api<{ alerts: readonly ActiveAlert[] }>('alerts')).alerts
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stop()
  }

  async #api<T>(path: string): Promise<T> {
    const answer = (await (await fetch(`${this.url}/api/v1/${path}`)).json()) as {
      status: string
      data: T
      error?: string
    }
    if (answer.status !== 'success') throw new Error(`${path}: ${answer.error}`)
    return answer.data
  }
}

async function writeTargets(folder: string, targets: Targets): Promise<void> {
  for (const [job, addresses] of Object.entries(targets)) {
    await writeFile(join(folder, `${job}.targets.json`), JSON.stringify([{ targets: addresses }]))
  }
}
