// Which places of a process may be released, and that the process of this test goes on without them.

import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { loadNative } from '#transport/native.ts'
import { releasablePlaces, releasePages } from '#transport/program-pages.ts'

const native = await loadNative().catch((error: Error) => error)

interface PlaceText {
  readonly at?: string
  readonly rights?: string
  readonly path?: string
  readonly rss?: number
  readonly dirty?: number
  readonly anonymous?: number
}

function place({
  at = '00e37000-032e7000',
  rights = 'r-xp',
  path = '/usr/bin/node',
  rss = 25_632,
  dirty = 0,
  anonymous = 0,
}: PlaceText): string {
  return `${at} ${rights} 00a37000 fe:00 4711                    ${path}
Size:              37568 kB
Rss:               ${rss} kB
Private_Clean:     25632 kB
Private_Dirty:         ${dirty} kB
Anonymous:             ${anonymous} kB
VmFlags: rd ex mr mw me dw
`
}

function released(...places: readonly PlaceText[]): readonly number[] {
  return releasablePlaces(places.map(place).join(''), '/usr/bin/node').map(({ address }) => address)
}

it('releases places of the program that are as in its file', () => {
  expect(releasablePlaces(place({}) + place({ at: '1000-3000', rights: 'r--p' }), '/usr/bin/node')).toEqual([
    { address: 0xe3_7000, bytes: 0x32e_7000 - 0xe3_7000 },
    { address: 0x1000, bytes: 0x2000 },
  ])
})

it.each<[string, PlaceText]>([
  ['that can be written to', { rights: 'rw-p' }],
  ['that others see changes of', { rights: 'r-xs' }],
  ['with changes', { dirty: 4 }],
  ['with changes that were written out', { anonymous: 4 }],
  ['of another file', { path: '/usr/bin/node (deleted)' }],
  ['of no file', { path: '' }],
  ['that hardly hold anything', { rss: 100 }],
])('does not release places %s', (_what, text) => {
  expect(released({ at: '1000-2000' }, { at: '5000-6000', ...text }, { at: '9000-a000' })).toEqual([
    0x1000, 0x9000,
  ])
})

it('does not release what says too little', () => {
  expect(releasablePlaces('', '/usr/bin/node')).toEqual([])
  expect(
    releasablePlaces('1000-2000 r-xp 0 fe:00 4711 /usr/bin/node\nRss: 9999 kB\n', '/usr/bin/node'),
  ).toEqual([])
})

it.skipIf(native instanceof Error)('the process goes on, with fewer pages', () => {
  if (native instanceof Error) return
  const before = filePagesKb()
  expect(releasePages(native)).toBeGreaterThan(0)
  expect(filePagesKb()).toBeLessThan(before)
  expect(JSON.parse(JSON.stringify({ regular: /^a+$/.test('aaa'), text: 'b-c'.split('-') }))).toEqual({
    regular: true,
    text: ['b', 'c'],
  })
})

function filePagesKb(): number {
  return Number(/^RssFile:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1])
}
