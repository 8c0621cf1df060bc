// A relay with a lane in a process of its own, on a lab's network.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Lab } from './lab.ts'
import { LaneFiles, type RosterLine } from './lane-lab.ts'
import { freePort, startProcess, waitUntil, type RunningProcess } from './process.ts'
import { PROGRAM } from './program-path.ts'

export class LaneProcess implements AsyncDisposable {
  readonly files: LaneFiles
  readonly lab: Lab
  port = 0
  lanePort = 0
  #adminPort = 0
  process: RunningProcess | undefined = undefined

  private constructor(lab: Lab, roster: readonly RosterLine[]) {
    this.lab = lab
    this.files = new LaneFiles(roster)
  }

  /** Started, on the lab's network. */
  static async start(lab: Lab, roster: readonly RosterLine[]): Promise<LaneProcess> {
    const relay = new LaneProcess(lab, roster)
    await relay.#choosePorts()
    await relay.start()
    return relay
  }

  async #choosePorts(): Promise<void> {
    ;[this.port, this.lanePort, this.#adminPort] = [await freePort(), await freePort(), await freePort()]
    mkdirSync(join(this.files.folder, 'state'), { recursive: true, mode: 0o700 })
    writeFileSync(join(this.files.folder, 'derper.key'), `{"PrivateKey":"privkey:${'9'.repeat(64)}"}`, {
      mode: 0o600,
    })
  }

  /** The lane's address. */
  get at(): string {
    return `${this.lab.ownAddress}:${this.lanePort}`
  }

  async start(): Promise<void> {
    const { folder, rosterPath } = this.files
    const listen = ['-a', `127.0.0.1:${this.port}`, '-admin', `127.0.0.1:${this.#adminPort}`, '-stun=false']
    const lane = ['-lane', this.at, '-lane-key-file', join(folder, 'lane.key'), '-lane-roster', rosterPath]
    const own = ['-c', join(folder, 'derper.key'), '-state-dir', join(folder, 'state'), '-threads', '1']
    this.process = await startProcess(PROGRAM, ['serve', ...own, ...listen, ...lane, '-log-format', 'json'], {
      readyWhen: /"event":"relay_started"/,
    })
  }

  /** The value of a series of its metrics, with its labels. */
  async sample(series: string): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${this.#adminPort}/metrics`)).text()
    const line = text.split('\n').find((one) => one.startsWith(`${series} `))
    return Number(line?.slice(line.lastIndexOf(' ') + 1) ?? Number.NaN)
  }

  /** Waits until so many peers are on the lane. */
  async here(count: number): Promise<void> {
    const series = 'derp_lane_members{state="here"}'
    await waitUntil(`${count} peers are here`, async () => (await this.sample(series)) === count, 60_000)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process?.stop()
    this.files[Symbol.dispose]()
  }
}
