// The status page in a real browser: light, dark, without script, on a phone and by keyboard; axe-core looks at each. The page
// of a fleet with something of everything is served by the admin server, and a live relay shows that it stays current.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import axe from 'axe-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AdminPages } from '#ops/admin-pages.ts'
import { AdminServer } from '#ops/admin-server.ts'
import { Health } from '#ops/health.ts'
import { Log } from '#ops/log.ts'
import { Metrics } from '#ops/metrics.ts'
import { StatusStream } from '#ops/status-stream.ts'
import { Varz } from '#ops/varz.ts'
import { OVERVIEW } from '../ops/overviews.ts'
import { QUALITY, testSources } from '../ops/sources.ts'
import { ChromiumTab } from '../support/chromium.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { LiveRelay } from '../support/live-relay.ts'
import { waitUntil as waitLong } from '../support/process.ts'

const TIMEOUT_MS = 60_000
/** Of what a page does within two seconds on a quiet machine. */
const WAIT_MS = 15_000
const found = await foreignPrograms('chromium')
const chromium = 'paths' in found ? found.paths.chromium : ''
/** A folder for pictures of each look; none are made without it. */
const pictures = process.env['STATUS_PICTURES']

async function waitUntil(what: string, condition: () => Promise<boolean>): Promise<void> {
  await waitLong(what, condition, WAIT_MS)
}

interface Violation {
  readonly id: string
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[]
}

describe.skipIf(chromium === '')('the status page in a browser', { timeout: TIMEOUT_MS }, () => {
  let server: AdminServer
  let tab: ChromiumTab
  let url: string
  const complaints: string[] = []

  beforeAll(async () => {
    const sources = testSources()
    const overview = () => OVERVIEW
    const pages = new AdminPages({
      metrics: new Metrics(sources),
      varz: new Varz(sources),
      health: new Health([]),
      fleet: () => '{}',
      quality: () => QUALITY,
      status: { overview, stream: new StatusStream({ overview }), names: [] },
      version: '1.2.3',
    })
    server = new AdminServer(
      { host: '127.0.0.1', port: 0 },
      pages,
      new Log('error', { write: () => undefined }),
    )
    url = `http://127.0.0.1:${(await server.start()).port}/`
    tab = await ChromiumTab.start(chromium, 'about:blank')
    // What the page's policy refuses, and errors of its script.
    tab.on('Log.entryAdded', (params) => complaints.push(JSON.stringify(params)))
    tab.on('Runtime.exceptionThrown', (params) => complaints.push(JSON.stringify(params)))
    await tab.command('Log.enable')
    await tab.command('Runtime.enable')
  }, TIMEOUT_MS)

  afterAll(async () => {
    await tab?.[Symbol.asyncDispose]()
    await server?.close()
  }, TIMEOUT_MS)

  interface Look {
    readonly scheme?: 'light' | 'dark'
    readonly width?: number
    readonly hasScript?: boolean
  }

  async function open(
    { scheme = 'light', width = 1_280, hasScript = true }: Look,
    at: string = url,
  ): Promise<void> {
    await tab.command('Emulation.setEmulatedMedia', {
      features: [{ name: 'prefers-color-scheme', value: scheme }],
    })
    await tab.command('Emulation.setDeviceMetricsOverride', {
      width,
      height: 900,
      deviceScaleFactor: 1,
      mobile: width < 500,
    })
    await tab.command('Emulation.setScriptExecutionDisabled', { value: !hasScript })
    await tab.command('Page.navigate', { url: 'about:blank' })
    await tab.command('Page.navigate', { url: at })
    await waitUntil('the page is loaded', () =>
      tab.evaluate<boolean>("document.readyState === 'complete' && document.getElementById('main') !== null"),
    )
  }

  async function picture(name: string): Promise<void> {
    if (pictures === undefined) return
    const { data } = (await tab.command('Page.captureScreenshot', { captureBeyondViewport: true })) as {
      data: string
    }
    mkdirSync(pictures, { recursive: true })
    writeFileSync(join(pictures, `${name}.png`), Buffer.from(data, 'base64'))
  }

  async function violations(): Promise<string[]> {
    await tab.evaluate(`${axe.source};0`)
    const all = await tab.evaluate<readonly Violation[]>('axe.run().then(({ violations }) => violations)')
    return all.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`))
  }

  const LOOKS: readonly (readonly [string, Look])[] = [
    ['light', {}],
    ['dark', { scheme: 'dark' }],
    ['phone', { width: 360 }],
    ['dark phone', { scheme: 'dark', width: 360 }],
  ]

  it.each(LOOKS)(
    '%s: axe finds nothing, nothing is cut off, and its policy refuses nothing of it',
    async (name, look) => {
      await open(look)
      await waitUntil('it is live', () =>
        tab.evaluate<boolean>("document.getElementById('live').textContent === 'live'"),
      )
      expect(await violations()).toEqual([])
      const { width = 1_280 } = look
      expect(await tab.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width)
      await picture(name)
      expect(complaints).toEqual([])
    },
  )

  it('without script: all of it is there', async () => {
    await open({})
    const text = 'document.getElementById("main").innerText'
    const live = await tab.evaluate<string>(text)
    await open({ hasScript: false })
    const still = await tab.evaluate<string>(text)
    const words = (page: string): string[] => page.split(/\s+/).filter((word) => word !== 'Copy')
    expect(words(still)).toEqual(words(live))
    expect(still).toContain('Serving')
    expect(await tab.evaluate<boolean>('document.getElementById("pause").hidden')).toBe(true)
    await picture('without script')
  })

  it('by keyboard: every control can be reached and seen, and Pause works', async () => {
    await open({})
    await waitUntil('it is live', () =>
      tab.evaluate<boolean>("document.getElementById('live').textContent === 'live'"),
    )
    const press = async (key: string, code = key): Promise<void> => {
      const text = key === 'Enter' ? { text: '\r', windowsVirtualKeyCode: 13 } : { windowsVirtualKeyCode: 9 }
      await tab.command('Input.dispatchKeyEvent', { type: 'keyDown', key, code, ...text })
      await tab.command('Input.dispatchKeyEvent', { type: 'keyUp', key, code })
    }
    const reached: string[] = []
    for (let i = 0; i < 20; i++) {
      await press('Tab')
      const focus = await tab.evaluate<{ name: string; outline: string } | undefined>(`(() => {
        const at = document.activeElement
        if (at === document.body) return
        const label = at.getAttribute('aria-labelledby')
        const name = at.getAttribute('aria-label') ?? (label ? document.getElementById(label).textContent : at.textContent)
        return { name, outline: getComputedStyle(at).outlineStyle }
      })()`)
      if (focus === undefined) break
      expect(focus.outline).not.toBe('none')
      reached.push(focus.name)
      if (focus.name === 'Pause') {
        await press('Enter')
        await waitUntil('it is paused', () =>
          tab.evaluate<boolean>("document.getElementById('live').textContent === 'paused'"),
        )
        expect(await tab.evaluate<string>('document.activeElement.textContent')).toBe('Resume')
      }
    }
    expect(reached).toEqual([
      'Skip to the content',
      'Pause',
      'Fleet',
      'Latency between relays',
      'DERP map',
      'Copy',
      'derpmap.yaml',
      'derpmap.json',
      'Tailscale policy',
      'metrics',
      'checks',
      'fleet (JSON)',
      'quality (JSON)',
      'this page (JSON)',
    ])
  })

  it('of a live relay: shows a new client by itself, and that the relay has gone', async () => {
    const relay = await LiveRelay.start({ admin: { host: '127.0.0.1', port: 0 } })
    try {
      await open({}, `http://127.0.0.1:${relay.addresses.admin?.port}/`)
      const clients = async (): Promise<string> =>
        await tab.evaluate('document.querySelector("#tiles .value").textContent')
      expect(await clients()).toBe('0')
      await relay.client({ isPreferred: true })
      await waitUntil('the page shows the client', async () => (await clients()) === '1')
    } finally {
      await relay[Symbol.asyncDispose]()
    }
    await waitUntil('the page says so', () =>
      tab.evaluate<boolean>("document.getElementById('live').textContent.startsWith('not connected')"),
    )
  })
})
