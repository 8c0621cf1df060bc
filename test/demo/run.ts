// `npm run demo`: a fleet of three regions to look at, until Ctrl-C. A relay is killed and comes back, and a region is drained and
// opened again. With `once` as argument it ends after one round, which tests use.

import { DemoFleet, pause } from './demo-fleet.ts'

const FIRST = '900a'
const VICTIM = '901b'
const DRAINED = 'syd'
/** Long enough to look at a page and to see a killed relay counted as down, which takes 25 s. */
const STEP_S = Number(process.env['DEMO_STEP_S'] ?? 40)

const isOnce = process.argv.includes('once')
const ended = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => ended.abort())

const say = (text: string): void => void process.stdout.write(`${text}\n`)

say('Starting three regions of two relays each…')
const demo = await DemoFleet.start()
try {
  say(
    demo.isDelayed
      ? 'Packets between the regions are delayed as between such places.'
      : 'This machine cannot delay packets here (that takes root, /dev/net/tun and koffi), so all round trips are short.',
  )
  say('\nStatus pages, one for each relay:\n')
  for (const { node, hostname } of demo.relays) say(`  ${hostname}  ${demo.pageOf(node)}`)
  say(`\nThe same in a terminal:  bin/derpfleet top -addr ${new URL(demo.pageOf(FIRST)).host}`)
  say('Ctrl-C ends it.\n')
  do await tellStory()
  while (!isOnce && !ended.signal.aborted)
} finally {
  say('Ending…')
  await demo[Symbol.asyncDispose]()
}

async function tellStory(): Promise<void> {
  const steps: readonly (readonly [string, () => Promise<void>])[] = [
    [
      `relay ${VICTIM} is killed; its clients go to the other one of its region`,
      () => demo.killRelay(VICTIM),
    ],
    [`region ${DRAINED} is drained; its clients choose another home`, () => demo.drainRegions(DRAINED)],
    [`relay ${VICTIM} starts again`, () => demo.startRelay(VICTIM)],
    [`region ${DRAINED} is open again`, () => demo.drainRegions()],
  ]
  for (const [what, act] of steps) {
    await pause(STEP_S, ended.signal)
    if (ended.signal.aborted) return
    say(`${new Date().toISOString().slice(11, 19)}  ${what} (${demo.connected} clients are connected)`)
    await act()
  }
}
